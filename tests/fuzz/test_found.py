"""What fuzzing found, each as a file of its own: it gave a traceback, hung, or ended the process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tane import files
from tane.errors import InputError, IntegrityError
from tests.fuzz import of_models, of_recipes, of_rows, of_runs, of_tokenizers
from tests.tokens import make_bad_tokenizers as bad


def change(path: Path, **values: Any) -> Path:
    """Other values for some keys of a JSON file; None takes one out."""
    told = json.loads(path.read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in told.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")
    return path


def seal(folder: Path, meta: Any) -> Path:
    """The manifest of a folder with another meta and a hash of its own that fits."""
    old = files.Manifest.read(folder)
    (folder / files.MANIFEST).write_text(files.Manifest(old.kind, old.files, meta).text(), encoding="utf-8")
    return folder / files.MANIFEST


# -------------------------------------------------------------------------------------------------- text


def test_a_column_whose_name_holds_a_nul(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(b"\0d,text\n1,a\n")
    with pytest.raises(InputError, match=r"f\.csv: the name of the column '\\x00d' holds a NUL"):
        of_rows._read_rows(tmp_path / "f.csv")


def test_parquet_rows_that_are_no_utf8(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.array([b"a", b"\xe3\x81"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": texts}), tmp_path / "f.parquet")
    with pytest.raises(InputError, match=r"f\.parquet cannot be read"):
        of_rows._read_rows(tmp_path / "f.parquet")


def test_json_rows_with_numbers_too_large_in_a_list(tmp_path: Path) -> None:
    from tane.text.rows import read_table

    (tmp_path / "f.jsonl").write_text(f'{{"text": "a", "n": [{2**70}]}}\n{{"text": "b", "n": [1]}}\n')
    table = read_table(str(tmp_path / "f.jsonl"))
    assert table.data["n"][:] == [f"[{2**70}]", "[1]"] and "n" in table.found["mixed"]


def test_a_saved_data_set_that_lists_a_name_no_system_takes(tmp_path: Path) -> None:
    of_rows._saved(tmp_path)
    change(tmp_path / "saved" / "train" / "state.json", _data_files=[{"filename": "9" * 5_000}])
    with pytest.raises(InputError, match=r"state\.json: it lists '9{80}', which is not there"):
        of_rows._read_saved(tmp_path / "saved")


@pytest.mark.parametrize(
    "line", [b'{"id":1,"text":"a"}', b'{"id":"a","text":["a"]}', b'{"id":"a","text":"\\ud800"}',
             b'{"id":"a","text":"\xed\xa0\x80"}', b'{"id":"a","text":"a","meta":[]}'],
)  # fmt: skip
def test_a_part_of_a_corpus_whose_line_is_no_document(line: bytes) -> None:
    from tane.text.parts import document_of

    with pytest.raises(
        IntegrityError, match="part-00000 is damaged: a line is not the JSON that was written"
    ):
        document_of(line, Path("part-00000"))


def test_a_corpus_whose_files_say_what_cannot_be(tmp_path: Path) -> None:
    from tane.text.corpus import Corpus

    of_rows._corpus(tmp_path)
    corpus = Corpus.open(tmp_path / "corpus")
    meta = corpus.meta
    fates = (tmp_path / "corpus" / "fates.bin").read_bytes()
    (tmp_path / "corpus" / "fates.bin").write_bytes(bytes([2]) + fates[1:])  # a document that is cut in two
    with pytest.raises(IntegrityError, match=r"fates\.bin is damaged: no document of this corpus is cut"):
        list(corpus.documents("train"))
    for other in ([], {**meta, "parts": ["a"]}, {**meta, "split": {}}, {**meta, "fingerprint": 3}):
        seal(tmp_path / "corpus", other)
        with pytest.raises(IntegrityError, match=r"manifest\.json lacks what the manifest of a corpus says"):
            Corpus.open(tmp_path / "corpus")


def test_one_tagger_of_mecab_serves_a_process() -> None:
    from tane.text import words

    one, other = words.segmenter("ipadic"), words.segmenter("ipadic")
    assert one.tagger is other.tagger  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "record", [{"size": "9"}, {"size": [1]}, {"name": 5}, {"etag": {}}, [1], "[" * 10_000]
)
def test_a_record_of_the_cache_with_values_of_other_types(tmp_path: Path, record: Any) -> None:
    of_runs._cache(tmp_path)
    path = of_runs._cached(tmp_path) / ".fetched.json"
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    assert of_runs._fetch(path) == path.with_name("f.txt"), "it is as one that was put there"


# -------------------------------------------------------------------------------------------- tokenizers


def refused(content: Any, tmp_path: Path) -> str:
    from tane.tokens import soundness

    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError) as error:
        soundness.open_tokenizer(path)
    assert str(path) in error.value.message
    return error.value.message


def test_a_prefix_that_would_cut_a_character_in_two(tmp_path: Path) -> None:
    content = bad.changed(bad.bpe(), "model", "continuing_subword_prefix", value="\n")
    assert "does not go on with the prefix" in refused(content, tmp_path), "the library ended the process"


def test_an_id_far_above_all_others(tmp_path: Path) -> None:
    content = bad.changed(bad.bpe(), "model", "vocab", "い", value=2**31)
    assert "the id 2,147,483,648 is far above the count" in refused(content, tmp_path), "it took minutes"


def test_half_a_character_in_a_tokenizer(tmp_path: Path) -> None:
    text = json.dumps(bad.unigram()).replace('"ab"', '"\\ud800"')
    assert "is not valid JSON" in refused(text, tmp_path)


def test_parts_nested_deeply(tmp_path: Path) -> None:
    text = json.dumps({**bad.unigram(), "normalizer": "@"}).replace('"@"', "[" * 900 + "]" * 900)
    assert refused(text, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model_max_length", {"a": 1}, "a number of tokens"),
        ("model_max_length", True, "a number of tokens"),
        ("eos_token", 3, "a token"), ("pad_token", {"x": 1}, "a token"),
        ("model_input_names", "ids", "a list of names"), ("padding_side", [], "left or right"),
    ],
)  # fmt: skip
def test_a_configuration_with_values_of_other_types(
    key: str, value: Any, expected: str, tmp_path: Path
) -> None:
    from tane.tokens import soundness

    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(bad.config(**{key: value})))
    with pytest.raises(InputError, match=f"expected {expected} for {key}, found"):
        soundness.read_config(path)


def test_an_infinite_longest_input_is_what_transformers_writes(tmp_path: Path) -> None:
    from tane.tokens import soundness

    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(bad.config(model_max_length=10**30, pad_token=None)))
    assert soundness.read_config(path)["model_max_length"] == 10**30


def test_a_vocabulary_of_words_that_is_no_utf8(tmp_path: Path) -> None:
    of_tokenizers._words_folder(tmp_path)
    path = tmp_path / "tok" / "vocab.txt"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"vocab\.txt is not UTF-8: byte"):
        of_tokenizers._encode(path)


def test_added_tokens_without_numbers(tmp_path: Path) -> None:
    of_tokenizers._spm_folder("LlamaTokenizer", tmp_path)
    path = tmp_path / "tok" / "added_tokens.json"
    path.write_text('{"<new>": {"id": 300}}')
    with pytest.raises(InputError, match=r"added_tokens\.json: expected a number for each token"):
        of_tokenizers._take(path)


# ------------------------------------------------------------------------------------- runs and their files


def test_shards_whose_files_say_what_cannot_be(tmp_path: Path) -> None:
    from tane.tokens.shards import Shards, read_index, write_index

    of_runs._shards(tmp_path)
    meta = files.Manifest.read(tmp_path / "shards").meta
    seal(tmp_path / "words", {"shards": None})
    with pytest.raises(IntegrityError, match=r"words/manifest\.json does not say its shards"):
        Shards(tmp_path / "shards", "train", tmp_path / "words")
    for other in ([], "x", {**meta, "eos_id": "1"}):
        seal(tmp_path / "shards", other)
        with pytest.raises(IntegrityError, match=r"shards/manifest\.json does not say its eos_id"):
            Shards(tmp_path / "shards", "train")
    for lengths in ([5, -5, 3], [3, 0]):
        write_index(tmp_path / "x.idx", np.array(lengths), np.dtype(np.uint16))
        with pytest.raises(IntegrityError, match=r"x\.idx is damaged: a document has no token"):
            read_index(tmp_path / "x.idx")
    write_index(tmp_path / "x.idx", np.array([5, 3]), np.dtype(np.uint16))
    index = bytearray((tmp_path / "x.idx").read_bytes())
    index[18] = 3  # three documents, where there are two
    (tmp_path / "x.idx").write_bytes(index)
    with pytest.raises(IntegrityError, match="or the file is cut"):
        read_index(tmp_path / "x.idx")


def test_lines_of_the_log_that_are_no_events(tmp_path: Path) -> None:
    from tane.training.tracker import read_metrics

    odd = [f'{{"event": "step", "step": {step}}}' for step in ('"3"', "{}", "null", "true", "1.5")]
    odd += ['{"event": "step"}', '{"event": "start", "step": null}', "[" * 100_000, "1", "{", '"\\ud800"']
    good = '{"event": "step", "step": 2, "loss": 1.5}'
    (tmp_path / "metrics.jsonl").write_text("\n".join([good, *odd, ""]))
    assert read_metrics(tmp_path, "step") == [json.loads(good)]


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", '{"test": 3}', '{"test": {"confusion": 1}}', "[" * 100_000,
                json.dumps({"test": {**of_runs.REPORT, "confusion": [[1, 2], [3]]}}),
                json.dumps({"test": {**of_runs.REPORT, "names": "ab"}}),
                json.dumps({"test": {**of_runs.REPORT, "examples": "4"}})],
)  # fmt: skip
def test_scores_that_are_damaged(content: str, tmp_path: Path) -> None:
    from tane.use.plots import plot_confusion

    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(InputError, match="damaged"):
        plot_confusion(tmp_path)


def test_a_flag_whose_name_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "flag").write_bytes(b"se\xce]=3")
    with pytest.raises(InputError, match=r"recipe: a key: .*, found 'se"):
        of_recipes._flag(tmp_path / "flag")


@pytest.mark.parametrize("value", ["1e18 epochs", "false", "0", '""'])
def test_a_recipe_of_a_task_with_a_word_for_a_section(value: str, tmp_path: Path) -> None:
    text = of_recipes.TASK_RECIPE.replace("{duration: 3 epochs, save_every: 5 minutes}", value)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=r"r\.yaml: train: "):
        of_recipes._load_recipe(tmp_path / "r.yaml")


# ---------------------------------------------------------------------------------- models and checkpoints


@pytest.mark.parametrize(
    "values",
    [{"step": "3"}, {"tokens": 1.5}, {"valid": []}, {"seconds": {}}, {"finished": 1}, {"loss_scale": None}],
)
def test_a_state_with_values_of_other_types(values: dict[str, Any], tmp_path: Path) -> None:
    of_models._checkpoint(tmp_path)
    path = tmp_path / "step" / "state" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    with pytest.raises(IntegrityError, match="cannot be read"):
        of_models._load(path)


def test_a_state_that_is_nested_deeply(tmp_path: Path) -> None:
    of_models._checkpoint(tmp_path)
    path = tmp_path / "step" / "state" / "state.json"
    path.write_text("[" * 100_000)
    with pytest.raises(IntegrityError, match="cannot be read"):
        of_models._load(path)


def _other(name: str, change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    """One tensor of the optimizer's state, changed."""

    def write(folder: Path) -> Path:
        from safetensors.torch import load_file, save_file

        path = folder / "step" / "state" / "optimizer.safetensors"
        tensors = load_file(path)
        key = next(key for key in tensors if key.endswith(name))
        tensors[key] = change(tensors[key])
        save_file(tensors, path)
        return path

    return write


@pytest.mark.parametrize(
    "write", [_other("/exp_avg", lambda t: t[None].clone()), _other("/step", lambda t: t.repeat(2))]
)
def test_an_optimizers_state_of_another_shape(write: Callable[[Path], Path], tmp_path: Path) -> None:
    of_models._checkpoint(tmp_path)
    with pytest.raises(IntegrityError, match=r"the optimizer's state of 0/.* does not fit the parameter"):
        of_models._load(write(tmp_path))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"model_type": {}}, "model_type"),
        ({"model_type": 5, "eos_token_id": "x"}, "model_type"),
        ({"layer_norm_epsilon": float("nan")}, "not valid JSON"),
        ({"output_hidden_states": "x"}, "does not work|cannot be read"),
    ],
)
def test_a_config_with_values_of_other_types(values: dict[str, Any], match: str, tmp_path: Path) -> None:
    of_models._decoder(False, tmp_path)
    with pytest.raises(InputError, match=match):
        of_models._generate(change(tmp_path / "model" / "config.json", **values))


def test_an_index_that_names_a_file_no_system_takes(tmp_path: Path) -> None:
    of_models._decoder(True, tmp_path)
    path = tmp_path / "model" / "model.safetensors.index.json"
    names = json.loads(path.read_text())["weight_map"]
    change(path, weight_map={**names, "x": "9" * 5_000 + ".safetensors"})
    with pytest.raises(InputError, match=r"index\.json is not the index that it should be"):
        of_models._generate(path)


@pytest.mark.parametrize("values", [{"label_names": [3]}, {"text": ["a"]}, {"kind": 5}, {"choices": [{}]}])
def test_a_note_of_a_task_with_values_of_other_types(values: dict[str, Any], tmp_path: Path) -> None:
    from tane.use.card import _check_task

    with pytest.raises(InputError, match=r"task\.json is damaged"):
        _check_task(tmp_path / "task.json", {"kind": "classification", "label": "label", **values})
