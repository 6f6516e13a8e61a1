"""The laws of BlockDataset: shapes and shift, nothing lost or doubled, epochs, resuming, errors."""

from __future__ import annotations

import copy
import gzip
import multiprocessing
import pickle
import types
import warnings
from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.data import DataLoader

from tane.errors import InputError
from tane.tokens.stream import BlockDataset
from tane.tokens.turns import share
from tests.tokens.small import japanese_bert

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class Characters:
    """A toy tokenizer: one id for each character, its code point."""

    eos_token_id = 3

    def encode(self, text: str) -> list[int]:
        """Code points."""
        return [ord(char) for char in text]


class Numbered:
    """A text source in which every token is another number, so that blocks tell where they come from."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def __iter__(self):
        start = 1000
        for length in self.lengths:
            yield "".join(chr(start + i) for i in range(length))
            start += length


LENGTHS = [3 + i % 11 for i in range(60)]


def keys(items) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Dicts of lists, or the rows of batches without their filling, as values that can be compared."""
    found = []
    for item in items:
        rows = [item] if isinstance(item["labels"], list) else [
            {k: v[i].tolist() for k, v in item.items()} for i in range(len(item["labels"]))
        ]  # fmt: skip
        for row in rows:
            labels = [i for i in row["labels"] if i != -100]
            found.append((tuple(row["input_ids"][: len(labels)]), tuple(labels)))
    return found


def make(block_size: int = 7, lengths: list[int] = LENGTHS, **options) -> BlockDataset:
    return BlockDataset.from_texts(Characters(), Numbered(lengths), block_size, **options)


def loader(dataset: BlockDataset, workers: int, batch_size: int = 4, **options) -> DataLoader:
    return DataLoader(
        dataset, batch_size=batch_size, num_workers=workers, collate_fn=BlockDataset.collate, **options
    )


@pytest.fixture
def as_worker(monkeypatch):
    """Pretend to be worker `i` of `n`, as torch tells a dataset in a worker process."""

    def pretend(i: int, n: int) -> None:
        info = types.SimpleNamespace(id=i, num_workers=n, seed=77 + i, dataset=None) if n else None
        monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: info)

    return pretend


# ------------------------------------------------------------------------------------------ shapes and shift


def test_first_block_has_five_ids_and_the_five_that_follow():
    text = "こんにちは。ここではストリームを実装してみました。"
    t = Characters().encode(text)
    dataset = BlockDataset.from_texts(tokenizer=Characters(), texts=[text], block_size=5)
    items = list(dataset)
    assert items[0] == {"input_ids": t[0:5], "labels": t[1:6]} == dataset.first()
    assert items[1] == {"input_ids": t[5:10], "labels": t[6:11]}
    assert all(type(i) is int for item in items for values in item.values() for i in values)


@pytest.mark.parametrize(
    ("tokens", "drop_last", "sizes"),
    [(11, True, [5, 5]), (11, False, [5, 5]), (12, True, [5, 5]), (12, False, [5, 5, 1]),
     (15, False, [5, 5, 4]), (5, True, []), (5, False, [4]), (2, False, [1]), (1, False, []), (0, False, [])],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:BlockDataset")
def test_sizes_with_labels_next(tokens, drop_last, sizes):
    items = list(make(5, [tokens], drop_last=drop_last))
    assert [len(item["input_ids"]) for item in items] == sizes
    assert all(type(item) is dict and len(item["input_ids"]) == len(item["labels"]) for item in items)


lengths_of_texts = st.lists(st.integers(0, 30), max_size=30)


@given(lengths_of_texts, st.integers(1, 12))
@settings(deadline=None)
def test_next_every_token_but_the_first_is_a_target_exactly_once(lengths, size):
    tokens = [i for text in Numbered(lengths) for i in Characters().encode(text)]
    with warnings.catch_warnings(action="ignore"):
        whole, cut = list(make(size, lengths, drop_last=False)), list(make(size, lengths))
    assert [i for item in whole for i in item["labels"]] == tokens[1:]
    assert [i for item in whole for i in item["input_ids"]] == tokens[:-1]
    assert cut == [item for item in whole if len(item["labels"]) == size]
    assert len(whole) - len(cut) <= 1


@given(lengths_of_texts, st.integers(1, 12))
@settings(deadline=None)
def test_same_every_token_is_in_exactly_one_block(lengths, size):
    tokens = [i for text in Numbered(lengths) for i in Characters().encode(text)]
    with warnings.catch_warnings(action="ignore"):
        whole = list(make(size, lengths, drop_last=False, labels="same"))
        cut = list(make(size, lengths, labels="same"))
    assert [i for item in whole for i in item["input_ids"]] == tokens
    assert all(item["input_ids"] == item["labels"] and item["input_ids"] for item in whole)
    assert cut == [item for item in whole if len(item["labels"]) == size]


def test_same_labels_are_a_list_of_their_own():
    item = make(labels="same").first()
    item["labels"][0] = -100
    assert item["input_ids"][0] != -100


def test_eos_follows_each_text_and_nothing_else():
    dataset = BlockDataset.from_texts(Characters(), ["ab", "", "c"], 1, eos=True, drop_last=False)
    stream = [dataset.first()["input_ids"][0], *(i for item in dataset for i in item["labels"])]
    assert stream == [97, 98, 3, 3, 99, 3]


# ------------------------------------------------------------------------------------------------ tokenizers


def word_tokenizer() -> Tokenizer:
    """Words and single characters, with [CLS] .. [SEP] round every text unless told otherwise."""
    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "</s>": 4}
    for word in ("春", "の", "川", "は", "静か", "に", "流れる", "。"):
        vocab[word] = len(vocab)
    backend = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "</s>"])
    return backend


SENTENCES = ["春 の 川 は 静か に 流れる 。", "川 の 春", "", "知らない 語", "</s> は 川"] * 300


def stream_of(dataset: BlockDataset) -> list[int]:
    return [i for item in dataset for i in item["input_ids"]]


def test_tokenizers_all_give_what_they_give_one_by_one():
    from transformers import PreTrainedTokenizerFast

    backend = word_tokenizer()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", eos_token="</s>")
    options = {"labels": "same", "drop_last": False}
    expected = [i for t in SENTENCES for i in fast.encode(t, add_special_tokens=False)]
    assert stream_of(BlockDataset(fast, SENTENCES, 16, **options)) == expected
    assert not {2, 3} & set(expected)

    fast.split_special_tokens = True
    plain = [i for t in SENTENCES for i in fast.encode(t, add_special_tokens=False)]
    assert plain != expected
    assert stream_of(BlockDataset(fast, SENTENCES, 16, **options)) == plain

    class Reversed(PreTrainedTokenizerFast):
        def encode(self, text, **kwargs):
            return super().encode(text, **kwargs)[::-1]

    own = Reversed(tokenizer_object=word_tokenizer(), eos_token="</s>")
    turned = [i for t in SENTENCES for i in own.encode(t, add_special_tokens=False)]
    assert stream_of(BlockDataset(own, SENTENCES, 16, **options)) == turned != expected


def test_a_mask_in_a_text_to_be_trained_on_is_text(tmp_path):
    """Though HF's tokenizer of a set with a mask finds it, for those who ask for a fill."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    backend = word_tokenizer()
    backend.add_special_tokens(["[MASK]"])
    roles = {"mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, **roles)
    pytest.importorskip("ipadic")
    slow = japanese_bert(tmp_path, ["春", "の", "川", "は", "[", "]", "MASK"])
    texts = ["川 は [MASK] 。", "[CLS] 春 [SEP]"] * 3
    for tokenizer in (fast, AutoTokenizer.from_pretrained(slow)):
        found = stream_of(BlockDataset(tokenizer, texts, 4, labels="same", drop_last=False))
        ids = [tokenizer.encode(t, add_special_tokens=False, split_special_tokens=True) for t in texts]
        assert found == [number for row in ids for number in row]
        special = {tokenizer.mask_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id}
        assert not special & set(found)
        assert tokenizer.mask_token_id in tokenizer("川 は [MASK] 。")["input_ids"], "and its setting is kept"


def test_truncation_and_padding_of_other_calls_never_cut_the_stream():
    from transformers import PreTrainedTokenizerFast

    backend = word_tokenizer()
    expected = [i for t in SENTENCES for i in backend.encode(t, add_special_tokens=False).ids]
    backend.enable_truncation(4)
    backend.enable_padding(length=9)
    set_up = backend.truncation, backend.padding
    options = {"labels": "same", "drop_last": False}
    assert stream_of(BlockDataset(backend, SENTENCES, 16, **options)) == expected
    assert (backend.truncation, backend.padding) == set_up

    fast = PreTrainedTokenizerFast(tokenizer_object=word_tokenizer(), pad_token="[PAD]")
    found = []
    for number, item in enumerate(BlockDataset(fast, SENTENCES, 16, **options)):
        if number % 7 == 0:  # as a loop that evaluates between two batches does
            fast(["川 の 春", "川"], padding=True, truncation=True, max_length=3)
        found += item["input_ids"]
    assert found == expected


def test_python_tokenizer_of_hf(tmp_path):
    pytest.importorskip("ipadic")
    from transformers import BertJapaneseTokenizer

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "春",
        "の",
        "川",
        "は",
        "静か",
        "に",
        "流れる",
        "。",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(tmp_path / "vocab.txt"), word_tokenizer_type="mecab", mecab_kwargs={"mecab_dic": "ipadic"}
    )
    assert not tokenizer.is_fast
    dataset = BlockDataset(tokenizer, ["春の川は静かに流れる。", "川の春"], 4, labels="same", drop_last=False)
    expected = [i for text in dataset.texts for i in tokenizer.encode(text, add_special_tokens=False)]
    assert stream_of(dataset) == expected and 7 in expected and not {2, 3} & set(expected)


# ------------------------------------------------------------------------------------- workers, ranks, epochs


@given(
    lengths_of_texts, st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9),
    st.booleans(), st.sampled_from(["next", "same"]), st.integers(0, 3),
)  # fmt: skip
@settings(deadline=None)
def test_each_block_comes_exactly_once(lengths, size, ranks, workers, buffer, drop_last, labels, epoch):
    options = {"drop_last": drop_last, "labels": labels}
    found = []
    with warnings.catch_warnings(action="ignore"), pytest.MonkeyPatch.context() as patch:
        expected = keys(make(size, lengths, **options))
        for rank in range(ranks):
            dataset = make(size, lengths, rank=rank, world_size=ranks, shuffle_buffer=buffer, **options)
            dataset.set_epoch(epoch)
            for i in range(workers):
                info = types.SimpleNamespace(id=i, num_workers=workers, seed=5 + i)
                patch.setattr(torch.utils.data, "get_worker_info", lambda info=info: info)
                found += keys(dataset)
    assert Counter(found) == Counter(expected)


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_real_worker_processes_give_each_block_once(workers):
    expected = keys(make(drop_last=False))
    assert Counter(keys(loader(make(drop_last=False), workers))) == Counter(expected)
    if workers < 2:
        assert keys(loader(make(drop_last=False), workers)) == expected


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_of_the_environment(ranks, monkeypatch):
    expected, found = keys(make()), []
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    for rank in range(ranks):
        monkeypatch.setenv("RANK", str(rank))
        found += keys(loader(make(), 2))
    assert Counter(found) == Counter(expected)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_even_gives_all_ranks_as_many_blocks(ranks):
    expected = keys(make())
    parts = [keys(make(rank=rank, world_size=ranks, even=True)) for rank in range(ranks)]
    full = len(expected) // ranks * ranks
    assert {len(part) for part in parts} == {len(expected) // ranks}
    assert Counter(key for part in parts for key in part) == Counter(expected[:full])
    assert ranks > 1 or parts[0] == expected


def _rank_process(rank, port, dataset, queue):
    """One rank of two: a real process group, loader workers by fork and by spawn."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = []
    for even, method in ((False, "spawn"), (True, "fork")):
        dataset.even = even
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            here = keys(dataset)
        found.append((keys(loader(dataset, 1, multiprocessing_context=method)), here, len(told)))
    queue.put((rank, found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_ranks_of_a_process_group_also_in_spawned_workers(free_port):
    dataset = make(drop_last=False)
    context = multiprocessing.get_context("fork")  # a rank that did not unpickle the dataset
    queue = context.Queue()
    ranks = [context.Process(target=_rank_process, args=(r, free_port, dataset, queue)) for r in range(2)]
    for process in ranks:
        process.start()
    found = dict(queue.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join(30)
    expected = keys(dataset)
    assert len(expected) % 2 == 1  # so that rank 1 gets fewer, and is told
    for case, even in enumerate((False, True)):
        (one, also_one, told_one), (two, also_two, told_two) = (found[rank][case] for rank in range(2))
        assert (one, two) == (also_one, also_two)
        assert Counter(one + two) == Counter(expected[:-1] if even else expected)
        assert (told_one, told_two) == (0, 0 if even else 1)


@pytest.fixture
def free_port():
    """A port that nobody uses at this moment."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("buffer", [1, 4, 1000])
def test_shuffle_depends_on_seed_and_epoch_alone(buffer):
    plain = keys(make())
    dataset = make(shuffle_buffer=buffer, seed=5)
    torch.manual_seed(1)
    epochs = [keys(dataset) for _ in range(3)]
    torch.manual_seed(2)
    again = make(shuffle_buffer=buffer, seed=5)
    assert [keys(again) for _ in range(3)] == epochs
    again.set_epoch(1)
    assert keys(again) == epochs[1]
    assert keys(again) == epochs[2]
    assert all(Counter(order) == Counter(plain) for order in epochs)
    if buffer > 1:
        assert (
            len({tuple(order) for order in [*epochs, plain, keys(make(shuffle_buffer=buffer, seed=6))]}) == 5
        )


def test_a_shuffle_buffer_moves_blocks_at_most_its_length_forward():
    plain = keys(make())
    for at, key in enumerate(keys(make(shuffle_buffer=4))):
        assert plain.index(key) <= at + 4


@pytest.mark.parametrize("persistent", [False, True])
def test_epochs_go_on_by_themselves_in_workers(persistent):
    dataset = make(shuffle_buffer=6)
    batches = loader(dataset, 2, persistent_workers=persistent)
    torch.manual_seed(0)
    epochs = []
    for epoch in range(6):
        torch.manual_seed(0)  # the same worker seeds each time: still another epoch
        if epoch == 4:
            dataset.set_epoch(1)
        epochs.append(keys(batches))
    assert epochs[4:] == epochs[1:3]
    assert len({tuple(order) for order in epochs}) == 4
    single = make(shuffle_buffer=6)
    for order in epochs[:4]:
        assert Counter(order) == Counter(keys(single))


def test_workers_agree_on_the_epoch_when_they_race():
    """All workers of an iteration find or compute one number, whoever comes first."""
    dataset = make(shuffle_buffer=6)
    batches = loader(dataset, 5, persistent_workers=True, batch_size=1)
    expected = make(shuffle_buffer=6)
    fresh = [keys(loader(expected, 5, batch_size=1))]
    for _ in range(20):
        found = keys(batches)
        assert Counter(found) == Counter(fresh[0])
    assert dataset._turns.latest() == 20


# ---------------------------------------------------------------------------------------------------- resume


@pytest.mark.parametrize("buffer", [0, 5])
@pytest.mark.parametrize("labels", ["next", "same"])
def test_resume_at_every_block(buffer, labels):
    options = {"shuffle_buffer": buffer, "labels": labels, "drop_last": False}
    whole = make(**options)
    epochs = [keys(whole) for _ in range(3)]
    for k in range(len(epochs[1]) + 1):
        dataset = make(**options)
        dataset.set_epoch(1)
        iterator = iter(dataset)
        taken = keys(islice(iterator, k))
        state = pickle.loads(pickle.dumps(dataset.state_dict()))
        assert (state["epoch"], state["blocks"]) == (1, k)
        resumed = make(**options)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert taken + keys(resumed) == epochs[1]
        assert keys(resumed) == epochs[2]


def test_state_before_and_after_an_epoch():
    dataset = make()
    assert (dataset.state_dict()["epoch"], dataset.state_dict()["blocks"]) == (0, 0)
    list(dataset)
    assert (dataset.state_dict()["epoch"], dataset.state_dict()["blocks"]) == (1, 0)
    dataset.set_epoch(7)
    assert (dataset.state_dict()["epoch"], dataset.state_dict()["blocks"]) == (7, 0)


def test_resume_of_a_resumed_run():
    expected = keys(make(shuffle_buffer=3))
    found, state = [], None
    while len(found) < len(expected):
        dataset = make(shuffle_buffer=3)
        if state:
            dataset.load_state_dict(state)
        found += keys(islice(iter(dataset), 4))
        state = dataset.state_dict()
    assert found == expected


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("persistent", [False, True])
def test_resume_of_a_loader_gives_the_remaining_batches(workers, persistent):
    if persistent and not workers:
        return
    options = {"persistent_workers": persistent, "batch_size": 4}
    whole = make(shuffle_buffer=5, drop_last=False)
    batches = loader(whole, workers, **options)
    epochs = [[keys([batch]) for batch in batches] for _ in range(2)]
    for seen in (1, 2, 3, len(epochs[0]) - 1, len(epochs[0])):
        dataset = make(shuffle_buffer=5, drop_last=False)
        dataset.load_state_dict({"epoch": 0, "blocks": seen * 4, "batch_size": 4})
        rest = loader(dataset, workers, **options)
        assert [keys([batch]) for batch in rest] == epochs[0][seen:]
        assert [keys([batch]) for batch in rest] == epochs[1]


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 40))
def test_shares_of_workers_add_up(workers, batch_size, seen):
    shares = [share(seen * batch_size, batch_size, worker, workers) for worker in range(workers)]
    assert sorted(part for part, _ in shares) == list(range(workers))
    assert sum(skip for _, skip in shares) == seen * batch_size
    for j in range(seen, seen + workers):  # the next batches come from the parts that would have given them
        assert shares[j - seen][0] == j % workers


def test_set_epoch_keeps_or_drops_a_loaded_position():
    dataset, expected = make(), keys(make())
    dataset.load_state_dict({"epoch": 2, "blocks": 5})
    dataset.set_epoch(2)
    assert keys(dataset) == expected[5:]
    dataset.load_state_dict({"epoch": 2, "blocks": 5})
    with pytest.warns(UserWarning, match="drops the position"):
        dataset.set_epoch(3)
    assert keys(dataset) == expected


def test_the_count_of_worker_processes_is_refused_not_guessed(as_worker):
    dataset = make()
    batches = iter(loader(dataset, 2))
    next(batches)
    with pytest.raises(InputError, match="worker processes gave the blocks"):
        dataset.state_dict()
    dataset.load_state_dict({"epoch": 0, "blocks": 8})
    as_worker(1, 2)
    with pytest.raises(InputError, match="depends on the batch size"):
        iter(dataset)


@pytest.mark.parametrize(
    "state",
    [{}, {"epoch": 0}, {"epoch": 0, "blocks": -1}, {"epoch": 0, "blocks": 5, "batch_size": 4},
     {"epoch": 0, "blocks": 1, "block_size": 8}, {"epoch": 0, "blocks": 1, "world_size": 2},
     {"epoch": 0, "blocks": 1, "seed": 1}, {"epoch": 0, "block": 1}],
)  # fmt: skip
def test_states_that_do_not_fit_are_refused(state):
    with pytest.raises(InputError):
        make().load_state_dict(state)


def test_pickle_and_copy_go_on_by_themselves():
    dataset = make(shuffle_buffer=4)
    expected = [keys(dataset) for _ in range(2)]
    for twin in (pickle.loads(pickle.dumps(make(shuffle_buffer=4))), copy.deepcopy(make(shuffle_buffer=4))):
        assert [keys(twin) for _ in range(2)] == expected
        twin.load_state_dict({"epoch": 0, "blocks": 3})
        assert keys(pickle.loads(pickle.dumps(twin))) == expected[0][3:]
        assert keys(twin) == expected[0][3:]


# ---------------------------------------------------------------------------------------------------- loader


def test_collate_keeps_its_keys_and_fills_labels_with_no_target():
    batches = list(DataLoader(make(5, [18], drop_last=False), batch_size=3, collate_fn=BlockDataset.collate))
    assert [tuple(b["input_ids"].shape) for b in batches] == [(3, 5), (1, 2)]
    batch = BlockDataset.collate([*make(5, [18], drop_last=False)])
    assert batch["input_ids"][-1].tolist() == [1015, 1016, 0, 0, 0]
    assert batch["labels"][-1].tolist() == [1016, 1017, -100, -100, -100]
    assert all(b.keys() == {"input_ids", "labels"} for b in [*batches, batch])
    assert all(v.dtype == torch.int64 for v in batch.values())


def test_no_length_and_a_short_description():
    with pytest.raises(TypeError):
        len(make())
    assert "block_size=7" in repr(make()) and len(repr(make())) < 250
    big = BlockDataset.from_texts(Characters(), ["長い文" * 1000] * 50, 4)
    assert "50 texts" in repr(big) and len(repr(big)) < 200


# ----------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["u.txt", "u.txt.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jp", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_from_file_reads_lines_in_any_encoding(tmp_path, name, encoding, end):
    lines = [
        "春の川は静かに流れる。",
        "",
        "　字下げと空白 ",
        "改行のように見える文字と、ひらがなカタカナ。",
    ] * 20
    data = end.join(lines).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    dataset = BlockDataset.from_file(
        tokenizer=Characters(), path=str(tmp_path / name), block_size=5, labels="same", drop_last=False
    )
    assert "".join(chr(i) for i in stream_of(dataset)) == "".join(lines)
    assert stream_of(dataset) == stream_of(dataset)


def test_a_separator_inside_a_line_ends_no_line(tmp_path):
    (tmp_path / "a.txt").write_text("あ\u2028い\x85う\fえ\nお\n", encoding="utf-8", newline="")
    dataset = BlockDataset.from_file(
        Characters(), tmp_path / "a.txt", 20, labels="same", drop_last=False, eos=True
    )
    assert "".join(chr(i) for i in stream_of(dataset)) == "あ\u2028い\x85う\fえ\x03お\x03"


# ---------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"block_size": 0}, "block_size=0"),
        ({"block_size": 2.0}, "block_size"),
        ({"block_size": True}, "block_size"),
        ({"shuffle_buffer": -1}, "shuffle_buffer"),
        ({"labels": "shifted"}, "same"),
        ({"seed": None}, "seed"),
        ({"texts": "一つの文"}, r"texts=\[text\]"),
        ({"texts": (t for t in ["あ"])}, "only|once"),
        ({"texts": iter(["あ"])}, "once"),
        ({"texts": {"text": ["あ"]}}, "list of str"),
        ({"texts": 5}, "list of str"),
        ({"tokenizer": "gpt2"}, None),
        ({"tokenizer": 3}, "no tokenizer"),
        ({"rank": 1}, "world_size"),
        ({"rank": 2, "world_size": 2}, "rank=2"),
        ({"world_size": 2}, "rank=None"),
    ],
)
def test_arguments_that_cannot_be_meant(change, match):
    arguments = {"tokenizer": Characters(), "texts": ["あ"], "block_size": 4, **change}
    with pytest.raises(InputError, match=match):
        BlockDataset.from_texts(**arguments)


def test_eos_without_an_eos_token():
    with pytest.raises(InputError, match="eos_token_id"):
        BlockDataset.from_texts(word_tokenizer(), ["川"], 4, eos=True)


def test_a_missing_file_is_refused_at_once(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError):
            BlockDataset.from_file(Characters(), path, 4)


def test_texts_that_are_no_texts():
    with pytest.raises(InputError, match="text 2 is a dict"):
        list(BlockDataset.from_texts(Characters(), ["あ", {"text": "い"}], 1))


def test_a_function_that_gives_the_same_generator_twice_is_found_out():
    gone = iter(["あいうえお"])
    dataset = BlockDataset.from_texts(Characters(), lambda: gone, 2)
    assert len(list(dataset)) == 2
    with pytest.raises(InputError, match="anew"):
        list(dataset)


def test_a_function_is_called_for_each_epoch():
    dataset = BlockDataset.from_texts(Characters(), lambda: (t for t in ["あいうえお"]), 2)
    assert keys(dataset) == keys(dataset) != []


def test_too_little_text_is_said():
    dataset = BlockDataset.from_texts(Characters(), ["あい"], 5)
    with pytest.warns(UserWarning, match="too few tokens"):
        assert list(dataset) == []
    with pytest.raises(InputError, match="too few tokens"):
        dataset.first()


def test_an_error_comes_out_of_a_worker_process_as_it_is():
    """Torch builds it anew from its text. No process here: torch takes 5 s to end one after an error."""
    try:
        list(BlockDataset.from_texts(Characters(), [None], 5))
    except InputError:
        packed = torch._utils.ExceptionWrapper(where="in a worker")
    with pytest.raises(InputError, match="text 1 is a NoneType"):
        packed.reraise()
