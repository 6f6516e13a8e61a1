"""Another tokenizer for a pretrained model: each row comes from where it should, and nothing else moves."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tane.errors import InputError
from tane.model import vocabulary as module
from tane.model.build import ModelSettings, build_model, open_model
from tane.model.vocabulary import _Pieces, change_vocabulary, origins
from tane.types import Vocabulary
from tests.tokens import small

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OLD = [*SPECIALS, "to", "##kyo", "kyo", "a", "##b", "c"]
NEW = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]", "tokyo", "##b", "a", "zzz", "##kyo", "cz", "c", "##ky"]
PARTS = {  # what is not spelled as before: the old pieces whose mean it is; () the mean of all
    "tokyo": ("to", "##kyo"), "zzz": (), "cz": (), "##ky": (),
}  # fmt: skip
SHAPE = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
MASKED: dict[str, dict[str, Any]] = {
    "bert": SHAPE,
    "roberta": SHAPE,
    "distilbert": {"n_layers": 2, "dim": 32, "n_heads": 2, "hidden_dim": 48},
    "electra": {**SHAPE, "embedding_size": 16},
    "modernbert": {**SHAPE, "sep_token_id": 3, "cls_token_id": 2, "eos_token_id": 3, "bos_token_id": 2},
}
CAUSAL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_embd": 32, "n_head": 2},
    "llama": {**SHAPE, "tie_word_embeddings": False},
}
FAMILIES = {**MASKED, **CAUSAL}
VOCABULARY = Vocabulary(len(NEW), 1, 2)


def auto(name: str) -> str:
    return "AutoModelForCausalLM" if name in CAUSAL else "AutoModelForMaskedLM"


def wordpieces(folder: Path, pieces: list[str]) -> Path:
    """A WordPiece tokenizer of exactly these pieces, BERT's special tokens among them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.add_special_tokens([p for p in SPECIALS if p in pieces])
    roles = {f"{p[1:-1].lower()}_token": p for p in SPECIALS if p in pieces}
    return small.save(tokenizer, folder, **roles)


def pretrained(
    folder: Path, name: str, tokenizer: list[str] | None = None, config: dict[str, Any] | None = None
) -> Any:
    """A model of 16 rows with its WordPiece tokenizer in `folder`; no two of its values are alike."""
    import transformers

    pieces = tokenizer or OLD
    given = {"vocab_size": 16, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, **FAMILIES[name]}
    found = transformers.AutoConfig.for_model(name, **{**given, **(config or {})})
    torch.manual_seed(5)
    model = getattr(transformers, auto(name)).from_config(found)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    wordpieces(folder, pieces)
    return open_model(folder, auto(name))


def head_bias(model: Any) -> torch.Tensor | None:
    return getattr(model.get_output_embeddings(), "bias", None)


def expected(table: torch.Tensor, piece: str) -> torch.Tensor:
    """The row of a new piece, by hand."""
    parts = PARTS.get(piece, (piece,))
    rows = [OLD.index(part) for part in parts] or list(range(len(OLD)))
    return table[rows].mean(0) if len(rows) > 1 else table[rows[0]]


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return wordpieces(tmp_path / "new", NEW)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_row_is_the_one_made_by_hand(
    name: str, tmp_path: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = pretrained(tmp_path / "old", name)
    before = copy.deepcopy(model)
    made = change_vocabulary(model, auto(name), tmp_path / "old", new, VOCABULARY, 64)
    pairs = [(made.get_input_embeddings().weight, before.get_input_embeddings().weight)]
    pairs += [(made.get_output_embeddings().weight, before.get_output_embeddings().weight)]
    bias = head_bias(made)
    if bias is not None:
        pairs.append((bias, head_bias(before)))
        assert (bias[len(NEW) :] == head_bias(before)[: len(OLD)].min()).all()
    assert (bias is None) == (name in CAUSAL)
    for after, table in pairs:
        assert len(after) == 64
        for number, piece in enumerate(NEW):
            torch.testing.assert_close(after[number], expected(table, piece), msg=piece)
            if piece not in PARTS:
                assert torch.equal(after[number], expected(table, piece)), piece
    for after, table in pairs[:2]:
        torch.testing.assert_close(after[len(NEW)], table[: len(OLD)].mean(0))
    told = capsys.readouterr().err
    assert "13 pieces: 9 keep their rows, 1 start at the mean of old pieces, 3 at the mean of all" in told


@pytest.mark.parametrize("name", FAMILIES)
def test_the_saved_model_is_the_same_and_ties_stay(name: str, tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", name)
    names = [n for n, _ in model.named_parameters()]
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    state = torch.get_rng_state()
    made = change_vocabulary(model, auto(name), tmp_path / "old", new, VOCABULARY, 64).eval()
    assert torch.equal(state, torch.get_rng_state())
    assert [n for n, _ in made.named_parameters()] == names
    assert (made.get_input_embeddings().weight is made.get_output_embeddings().weight) == tied
    assert tied == (name != "llama")
    made.save_pretrained(tmp_path / "made")
    again = open_model(tmp_path / "made", auto(name)).eval()
    assert [n for n, _ in again.named_parameters()] == names
    ids = torch.arange(len(NEW))[None]
    with torch.no_grad():
        assert torch.equal(made(input_ids=ids).logits, again(input_ids=ids).logits)
    for config in (made.config, again.config, *([again.generation_config] if name in CAUSAL else [])):
        assert (config.pad_token_id, config.eos_token_id) == (2, 1)
    assert made.config.vocab_size == 64 and made.get_input_embeddings().padding_idx in (2, None)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_of_shared_pieces_has_the_logits_that_it_had(name: str, tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", name).eval()
    made = change_vocabulary(model, auto(name), tmp_path / "old", new, VOCABULARY, 64).eval()
    shared = [piece for piece in NEW if piece not in PARTS]
    text = ["[CLS]", "c", "##kyo", "a", "##b", "[SEP]"]
    ids = [torch.tensor([[pieces.index(p) for p in text]]) for pieces in (OLD, NEW)]
    columns = [[pieces.index(p) for p in shared] for pieces in (OLD, NEW)]
    with torch.no_grad():
        old_logits, new_logits = model(input_ids=ids[0]).logits, made(input_ids=ids[1]).logits
    torch.testing.assert_close(old_logits[..., columns[0]], new_logits[..., columns[1]])


@pytest.mark.parametrize("name", FAMILIES)
def test_with_the_same_pieces_nothing_is_touched(name: str, tmp_path: Path) -> None:
    model = pretrained(tmp_path / "old", name)
    state = {n: v.clone() for n, v in model.state_dict().items()}
    same = wordpieces(tmp_path / "same", OLD)
    made = change_vocabulary(model, auto(name), tmp_path / "old", same, Vocabulary(len(OLD), 3, 0), 64)
    assert made is model and made.config.vocab_size == 16
    assert all(torch.equal(v, state[n]) for n, v in made.state_dict().items())


def test_a_bert_with_a_head_of_its_own_keeps_it_apart(tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", "bert", config={"tie_word_embeddings": False})
    before = copy.deepcopy(model)
    made = change_vocabulary(model, auto("bert"), tmp_path / "old", new, VOCABULARY, 64)
    head = made.get_output_embeddings()
    assert head.weight is not made.get_input_embeddings().weight
    for after, table in (
        (head.weight, before.cls.predictions.decoder.weight),
        (head.bias, head_bias(before)),
    ):
        torch.testing.assert_close(after[NEW.index("tokyo")], expected(table, "tokyo"))
    assert len(made.cls.predictions.bias) == 64


def test_positions_that_are_counted_from_the_padding_token_move_with_it(tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", "roberta", config={"max_position_embeddings": 20})
    table = model.roberta.embeddings.position_embeddings.weight.clone()
    made = change_vocabulary(model, auto("roberta"), tmp_path / "old", new, VOCABULARY, 64)
    moved = made.roberta.embeddings.position_embeddings.weight
    assert made.config.max_position_embeddings == 22 and torch.equal(moved[3:], table[1:])
    far = wordpieces(tmp_path / "far", ["[UNK]", *map(str, range(30)), "[PAD]"])
    with pytest.raises(InputError, match="counts positions"):
        change_vocabulary(model, auto("roberta"), tmp_path / "old", far, Vocabulary(32, 0, 31), 64)


def test_nothing_of_the_old_ids_stays_in_the_generation_config(tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", "gpt2")
    model.generation_config.suppress_tokens = [11, 12]
    model.generation_config.forced_eos_token_id = 3
    made = change_vocabulary(model, auto("gpt2"), tmp_path / "old", new, VOCABULARY, 64)
    config = made.generation_config
    assert config.suppress_tokens is None and config.forced_eos_token_id is None
    assert (config.pad_token_id, config.eos_token_id, made.config.bos_token_id) == (2, 1, 1)


def test_build_model_gives_the_changed_model(tmp_path: Path, new: Path) -> None:
    pretrained(tmp_path / "old", "gpt2")
    settings = ModelSettings(pretrained=str(tmp_path / "old"))
    model = build_model(settings, auto("gpt2"), 16, VOCABULARY, 0, tokenizer_dir=new)
    assert model.generation_config.suppress_tokens == list(range(13, 64))
    with pytest.raises(ValueError, match="tokenizer_dir"):
        build_model(settings, auto("gpt2"), 16, VOCABULARY, 0)


# --------------------------------------------------------------------------------- tokenizers that do not fit


def test_a_folder_without_its_tokenizer_is_refused(tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", "gpt2")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "old" / name).unlink()
    with pytest.raises(InputError) as found:
        change_vocabulary(model, auto("gpt2"), tmp_path / "old", new, VOCABULARY, 64)
    assert "is needed" in found.value.message and "tokenizer_config.json into" in found.value.remedy


@pytest.mark.parametrize("words", [["to", "##kyo"], ["東京", "都", "に", "##い"]])
def test_a_bare_vocab_txt_beside_the_weights_is_enough(tmp_path: Path, words: list[str]) -> None:
    model = pretrained(tmp_path / "old", "bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "old" / name).unlink()
    (tmp_path / "old" / "vocab.txt").write_text("".join(f"{p}\n" for p in [*SPECIALS, *words]), "utf-8")
    new = wordpieces(tmp_path / "other", [*SPECIALS, words[0] + words[1].removeprefix("##")])
    made = change_vocabulary(model, auto("bert"), tmp_path / "old", new, Vocabulary(6, 3, 0), 64)
    table = model.get_input_embeddings().weight
    torch.testing.assert_close(made.get_input_embeddings().weight[5], table[5:7].mean(0))


def test_a_tokenizer_with_more_pieces_than_its_model_has_rows_is_refused(tmp_path: Path, new: Path) -> None:
    model = pretrained(tmp_path / "old", "gpt2", [*OLD, *(f"x{n}" for n in range(9))])
    with pytest.raises(InputError, match="16 embedding rows, but its tokenizer has 20 pieces"):
        change_vocabulary(model, auto("gpt2"), tmp_path / "old", new, VOCABULARY, 64)


def test_a_model_with_other_tables_by_vocabulary_is_refused(
    tmp_path: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pretrained(tmp_path / "old", "gpt2")
    monkeypatch.setattr(module, "_tables", lambda _: ({"transformer.wte.weight"}, set()))
    with pytest.raises(InputError, match="more by its vocabulary"):
        change_vocabulary(model, auto("gpt2"), tmp_path / "old", new, VOCABULARY, 64)


# ------------------------------------------------------------------------------------ what a piece is made of


def told(old: Path, new: Path) -> dict[str, tuple[bool, list[str]]]:
    """New piece -> (whether it keeps a row, the old pieces it is made of), special tokens too."""
    before, after = _Pieces(old), _Pieces(new)
    found = origins(before, after)
    ends = found.counts.cumsum()
    parts = [
        [before.spelled[i] for i in found.ids[e - c : e]] for c, e in zip(found.counts, ends, strict=True)
    ]
    return {p: (bool(k), ids) for p, k, ids in zip(after.spelled, found.kept, parts, strict=True)}


MARKED = ["▁to", "kyo", "▁", "to", "▁東京", "東京", "都", "あ", "▁ky", "o"]


def test_from_sentencepiece_to_wordpiece(tmp_path: Path) -> None:
    old = small.byte_fallback(tmp_path / "old", MARKED)
    new = ["to", "##to", "kyo", "東京", "##東京", "##東京都", "tokyo", "##tokyo", "漢"]
    found = told(old, small.wordpiece(tmp_path / "new", new))
    assert found["to"] == (True, ["▁to"]) and found["##to"] == (True, ["to"])
    assert found["kyo"] == (True, ["kyo"])  # the only one of this text
    assert found["東京"] == (True, ["東京"]) == found["##東京"]  # no space is put before Japanese words
    assert found["##東京都"] == (False, ["東京", "都"])
    assert found["tokyo"] == (False, ["▁to", "kyo"]) and found["##tokyo"] == (False, ["to", "kyo"])
    assert found["漢"] == (False, [f"<0x{byte:02X}>" for byte in "漢".encode()])
    assert found["[UNK]"] == (True, ["[UNK]"]) and found["</s>"] == (True, ["</s>"])


@pytest.mark.parametrize("llama", [False, True])
def test_from_sentencepiece_to_sentencepiece(tmp_path: Path, llama: bool) -> None:
    old = small.byte_fallback(tmp_path / "old", MARKED, llama=llama)
    new = small.byte_fallback(tmp_path / "new", ["to", "▁to", "tokyo", "▁tokyo", "東京都", "▁あ", "ky", "〜"])
    found = told(old, new)
    assert found["to"] == (True, ["to"]) and found["▁to"] == (True, ["▁to"])
    assert found["tokyo"] == (False, ["to", "kyo"]) and found["▁tokyo"] == (False, ["▁to", "kyo"])
    assert found["東京都"] == (False, ["東京", "都"]) and found["▁あ"] == (False, ["▁", "あ"])
    assert found["<0xE3>"] == (True, ["<0xE3>"])
    code = [f"<0x{byte:02X}>" for byte in ("〜" if llama else "~").encode()]  # as the old one normalises it
    assert found["〜"] == (False, code)


def test_between_bytes_and_sentencepiece(tmp_path: Path) -> None:
    bytes_, pieces = (
        small.byte_level(tmp_path / "b"),
        small.byte_fallback(tmp_path / "s", ["▁a", "a", "▁", "あい"]),
    )
    found = told(bytes_, pieces)
    assert found["▁a"] == (False, ["Ġ", "a"]) and found["a"] == (True, ["a"]) and found["▁"] == (True, ["Ġ"])
    assert found["あい"] == (False, ["ãģĤ", "ãģ", "Ħ"])
    assert found["<0xE3>"] == (True, ["ã"]) and found["[UNK]"] == (False, [])
    back = told(pieces, bytes_)
    assert back["Ġ"] == (True, ["▁"]) and back["a"] == (True, ["a"]) and back["ã"] == (True, ["<0xE3>"])
    assert back["ãģ"] == (False, ["<0xE3>", "<0x81>"])
    assert back["ãģĤ"] == (False, ["<0xE3>", "<0x81>", "<0x82>"])


def test_from_wordpiece_to_sentencepiece(tmp_path: Path) -> None:
    old = small.wordpiece(tmp_path / "old", ["to", "##to", "東京", "##東京", "##都", "kyo", "##kyo"])
    new = small.byte_fallback(
        tmp_path / "new", ["to", "▁to", "東京", "東京都", "tokyo", "▁tokyo", "都", "漢", "▁"]
    )
    found = told(old, new)
    assert found["to"] == (True, ["##to"]) and found["▁to"] == (True, ["to"])
    assert found["東京"] == (True, ["東京"]) and found["東京都"] == (False, ["東京", "##都"])
    assert found["tokyo"] == (False, ["##to", "##kyo"]) and found["▁tokyo"] == (False, ["to", "##kyo"])
    assert found["都"] == (True, ["##都"])
    assert found["漢"] == found["▁"] == found["<0xE3>"] == (False, [])


def test_from_japanese_bert(tmp_path: Path) -> None:
    old = small.japanese_bert(tmp_path / "old", ["東京", "##都", "都", "に", "すむ"])
    found = told(old, small.byte_fallback(tmp_path / "new", ["東京都", "東京", "都に", "すむ。"]))
    assert found["東京都"] == (False, ["東京", "都"]) and found["東京"] == (True, ["東京"])
    assert found["都に"] == (False, ["都", "に"])
    assert found["すむ。"] == (False, ["すむ"])  # the unknown part is left out
    assert found["</s>"] == (True, ["[SEP]"]) and found["[UNK]"] == (True, ["[UNK]"])


def test_special_tokens_go_by_their_role(tmp_path: Path) -> None:
    old = small.characters(tmp_path / "old", "ab")
    path = wordpieces(tmp_path / "new", [*SPECIALS, "a", "b", "[X]"]) / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "extra_special_tokens": ["[X]"]}))
    found = told(old, path.parent)
    assert found["[SEP]"] == (True, ["</s>"]) and found["[UNK]"] == (True, ["[UNK]"])
    assert found["[PAD]"] == found["[CLS]"] == found["[MASK]"] == found["[X]"] == (False, [])
    assert found["a"] == (True, ["a"])
