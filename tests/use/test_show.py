"""A block is shown as training gets it, in colour and as plain text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import tane
from tane.errors import InputError
from tane.recipe import Recipe, prepare
from tane.text.columns import width
from tane.tokens.encoder import Encoder
from tane.tokens.order import global_batch, key
from tane.tokens.shards import Shards
from tane.types import IGNORE
from tane.use import block_page
from tane.use.blocks import ShownBlock, first_blocks, spelled
from tane.use.show import MaskedBlock, Shown, show_masks
from tests.labelled import write_csv


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Recipe:
    folder = tmp_path_factory.mktemp("show")
    text = folder / "lines.txt"
    sentences = re.findall(r"[^。\n]+。", sample_text.read_text(encoding="utf-8"))[:1500]
    text.write_text("\n".join(sentences), encoding="utf-8")
    made = Recipe.from_mapping(
        {
            "run_dir": str(folder / "run"),
            "corpus": {"inputs": [str(text)], "unit": "line"},
            "tokenizer": {"kind": "mecab-wordpiece", "vocab_size": 800},
            "objective": {"name": "masked", "block_size": 64},
        }
    )
    prepare(made)
    return made


def flat(block: ShownBlock) -> list[Shown]:
    return [shown for segment in block.segments for shown in segment]


def test_it_is_the_block_that_training_gets(recipe: Recipe) -> None:
    data = recipe.data_path
    vocabulary = Encoder(data / "tokenizer").vocabulary
    blocks = recipe.objective.blocks(Shards(data / "shards", "train", data / "words"), vocabulary)
    for epoch in (0, 3):
        place = epoch * len(blocks)
        _, numbers = global_batch(place, 1, blocks.sizes, recipe.seed)
        number = int(numbers[0])
        shown = show_masks(recipe, epoch=epoch)
        assert (shown.epoch, shown.number) == (epoch, number)
        batch = recipe.objective.batch(
            [blocks[number]], [key(recipe.seed, "mask", epoch, number)], vocabulary
        )
        length = blocks[number].length
        hidden = batch.labels[0, :length].numpy() != IGNORE
        inputs = batch.inputs["input_ids"][0, :length].numpy()
        targets = [one.kind in ("masked", "replaced", "kept") for one in flat(shown)]
        assert targets == hidden.tolist()
        assert [one.seen == "[MASK]" for one in flat(shown)] == (inputs == vocabulary.mask_id).tolist()
        assert [one.seen != one.truth for one in flat(shown)] == (inputs != blocks[number].ids).tolist()
        assert shown.free == 64 - length
        assert len(shown.segments) == blocks[number].segments[-1] + 1


def test_segments_and_kinds(recipe: Recipe) -> None:
    found = [show_masks(recipe, number) for number in range(12)]
    for block in found:
        for segment in block.segments:
            assert (segment[0].truth, segment[-1].truth) == ("[CLS]", "[SEP]")
            assert [one.kind for one in segment].count("special") == 2 + sum(
                one.truth == "[UNK]" for one in segment
            )
    everything = [one for block in found for one in flat(block)]
    assert {one.kind for one in everything} == {"plain", "special", "masked", "replaced", "kept"}
    for one in everything:
        if one.kind == "masked":
            assert one.seen == "[MASK]"
        elif one.kind != "replaced":
            assert one.seen == one.truth
    assert any(len(block.segments) > 2 for block in found)


def test_numbers_from_behind_and_other_epochs(recipe: Recipe) -> None:
    last = show_masks(recipe, -1)
    assert last == show_masks(recipe, last.number)
    later = show_masks(recipe, last.number, epoch=1)
    assert [one.truth for one in flat(later)] == [one.truth for one in flat(last)]
    assert [one.kind for one in flat(later)] != [one.kind for one in flat(last)]
    with pytest.raises(InputError, match="no block"):
        show_masks(recipe, last.number + 1)
    with pytest.raises(InputError, match="no block"):
        show_masks(recipe, -last.number - 2)
    with pytest.raises(InputError, match="epoch"):
        show_masks(recipe, epoch=-1)


BLOCK = MaskedBlock(
    epoch=2,
    number=1234,
    segments=(
        (
            Shown("[CLS]", "[CLS]", "special"),
            Shown("[MASK]", "葉", "masked"),
            Shown("が", "が", "plain"),
            Shown("<犬>", "木", "replaced"),
            Shown("[SEP]", "[SEP]", "special"),
        ),
        (Shown("落ちる", "落ちる", "kept"), Shown("&", "&", "plain")),
    ),
    free=7,
)


def test_as_plain_text() -> None:
    assert str(BLOCK) == (
        "block 1,234, epoch 2; segments: 2; hidden: 3 of 5 tokens; free positions: 7\n"
        "[CLS] [葉 → [MASK]] が [木 → <犬>] [SEP]\n"
        "[落ちる] &"
    )


class Reader(HTMLParser):
    """Texts of a page, and whether each tag is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.answers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.answers if self.open[-1] == "rt" else self.texts).append(data)


def test_as_a_page() -> None:
    page = BLOCK._repr_html_()
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert reader.answers == ["葉", "木", "落ちる"]
    assert {"[CLS]", "[MASK]", "<犬>", "落ちる"} <= set(reader.texts)
    colours = re.findall(r"background:(#\w+);color:#222;border-bottom:3px (\w+)", page)
    legend, targets = colours[:3], colours[3:]
    assert len(set(legend)) == 3 and targets == legend  # one of each kind here
    assert len({line for _, line in legend}) == 3  # to be told apart without colours


def test_pieces_that_are_no_text_are_shown_as_the_tokenizer_writes_them(
    sample_text: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    rare = "\n\n".join(f"{chr(0x9B00 + number)}だ。" for number in range(60))
    common = sample_text.read_text(encoding="utf-8")[:20_000]
    text.write_text(f"{common}\n\n{rare}", encoding="utf-8")
    made = Recipe.from_mapping(
        {
            "run_dir": str(tmp_path / "run"),
            "corpus": {"inputs": [str(text)], "valid_fraction": 0.0},
            "tokenizer": {"kind": "unigram", "vocab_size": 800, "coverage": 0.98},
            "objective": {"name": "masked", "block_size": 64},
        }
    )
    prepare(made)
    shown = flat(show_masks(made, -1))
    assert any(one.truth.startswith("<0x") for one in shown)
    assert not any("\ufffd" in one.truth + one.seen or not one.seen.strip() for one in shown)


def test_what_cannot_be_shown(recipe: Recipe) -> None:
    fresh = Recipe.from_mapping({"run_dir": "runs/nowhere", "objective": {"name": "masked"}})
    with pytest.raises(InputError, match="no shards") as caught:
        show_masks(fresh)
    assert "tane.prepare" in caught.value.remedy
    with pytest.raises(InputError, match="causal"):
        show_masks(Recipe.from_mapping({"objective": {"name": "causal"}}))


def test_weights_give_each_epoch_its_own_blocks(recipe: Recipe, tmp_path: Path) -> None:
    values = recipe.model_dump(mode="json")
    values["run_dir"] = str(tmp_path / "run")
    values["corpus"]["inputs"] = [{"path": recipe.corpus.inputs[0], "weight": 0.5}]
    weighted = Recipe.from_mapping(values)
    prepare(weighted)
    truths = [np.array([one.truth for one in flat(show_masks(weighted, 0, epoch=epoch))]) for epoch in (0, 1)]
    assert not np.array_equal(*truths)
    show_masks(weighted, epoch=3)


# ------------------------------------------------------------------------------------ what a model says next


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Recipe:
    folder = tmp_path_factory.mktemp("causal")
    text = folder / "text.txt"
    text.write_text(sample_text.read_text(encoding="utf-8")[:30_000], encoding="utf-8")
    made = Recipe.from_mapping(
        {
            "run_dir": str(folder / "run"), "corpus": {"inputs": [str(text)]},
            "tokenizer": {"vocab_size": 800}, "objective": {"name": "causal", "block_size": 64},
            "train": {"batch_tokens": 256},
        }
    )  # fmt: skip
    prepare(made)
    return made


def test_the_first_blocks_are_those_of_the_first_step(causal: Recipe) -> None:
    data = causal.data_path
    encoder = Encoder(data / "tokenizer")
    blocks = causal.objective.blocks(Shards(data / "shards", "train"), encoder.vocabulary)
    found = first_blocks(causal, 4)
    assert [one.number for one in found] == global_batch(0, 4, blocks.sizes, causal.seed)[1].tolist()
    for one in found:
        ids, shown = blocks[one.number].ids, flat(one)
        told = [spelled(encoder.tokenizer, number) for number in ids[:-1].tolist()]
        assert [p.seen for p in shown] == told
        assert [p.truth for p in shown[:-1]] == [p.seen for p in shown[1:]], "a label is what comes next"
        ends = [segment[-1].seen for segment in one.segments[:-1]]
        assert ends == ["</s>"] * len(ends), "a document ends where its last token is"
        assert sum(p.seen == "</s>" for p in shown) in (len(ends), len(ends) + 1)
        assert f"tokens: {len(shown)};" in one.title and len(shown) + one.free == 64
    assert len(first_blocks(causal, 10_000)) == len(blocks) and first_blocks(causal, 0) == []


def test_a_causal_block_as_text_and_as_a_page(causal: Recipe) -> None:
    (block,) = first_blocks(causal, 1)
    lines = str(block).split("\n")
    assert lines[0] == block.title and len(lines) == 1 + len(block.segments)
    assert lines[1] == "|".join(p.seen for p in block.segments[0])
    reader = Reader()
    reader.feed(block._repr_html_())
    assert not reader.open and not reader.answers and {p.seen for p in flat(block)} <= set(reader.texts)


def test_in_a_terminal_targets_are_coloured_and_long_blocks_cut(causal: Recipe) -> None:
    told = [BLOCK.told()]
    plain, coloured = (block_page.terminal(told, 80, colour=c) for c in (False, True))
    assert "▌ [CLS] [葉 → [MASK]] が [木 → <犬>] [SEP]" in plain and "▌ [落ちる] &" in plain
    chip = "\x1b[38;5;16;48;5;{}m{}\x1b[0m"
    line = next(line for line in coloured if "葉" in line and "due" not in line)
    assert chip.format(222, "葉") in line and chip.format(218, "木→<犬>") in line
    assert any(chip.format(150, "落ちる") in line for line in coloured)
    (block,) = first_blocks(causal, 1)
    narrow = block_page.terminal([block.told()], 24, colour=False)
    bars = [line for line in narrow if line.startswith(("▌ ", "│ "))]
    assert max(map(width, narrow)) <= 24 and 2 <= len(bars) <= block_page.LINES + block_page.FEW
    sees, says = (next(line for line in narrow if line.startswith(word)) for word in ("sees", "says"))
    columns = [[cell.strip() for cell in row[6:].rstrip("|").split("|")] for row in (sees, says)]
    assert columns[0][1:] == columns[1][:-1] and len(columns[0]) >= 2


def test_words_of_a_task_have_their_labels(tmp_path: Path, encoder: Path) -> None:
    rows = [("山 川 走る", "B-A I-A O"), ("猫 見る", "B-B O")] * 10
    train, valid = (write_csv(tmp_path / f"{n}.csv", ("tokens", "tags"), rows) for n in ("a", "b"))
    task = {"kind": "token-classification", "data": {"train": str(train), "valid": str(valid)}}
    made = Recipe.from_mapping({
        "run_dir": str(tmp_path / "run"), "model": {"pretrained": str(encoder)}, "task": task,
        "train": {"threads": 1, "precision": "fp32"},
    })  # fmt: skip
    found = tane.plan(made, show=2).metrics["first_blocks"]
    shown = [one["segments"][0] for one in found]
    labels = {tuple((seen, truth) for seen, truth, kind in row if kind == "labelled") for row in shown}
    assert labels <= {(("山", "B-A"), ("川", "I-A"), ("走", "O")), (("猫", "B-B"), ("見", "O"))} and labels
    assert not any(one["answer"] for one in found)
    told = "\n".join(line for one in found for line in block_page.plain(one))
    assert "山/B-A" in told or "猫/B-B" in told
