"""Bad recipes: rows Y1 to Y10. Each is a whole file; it reads right, with a value, or is refused with words.

What a hostile one must not do is in hostile.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class BadRecipe(NamedTuple):
    """One recipe. said: a pattern of the error, or None where it is read; value: (setting, what it is)."""

    row: str
    name: str
    data: bytes
    said: str | None = None
    value: tuple[str, Any] | None = None


HEAD = "corpus: {inputs: [text.txt]}\nrun_dir: runs/x\n"


def read(row: str, name: str, more: str, setting: str, value: Any) -> BadRecipe:
    return BadRecipe(row, name, (HEAD + more).encode(), None, (setting, value))


def refused(row: str, name: str, more: str, said: str) -> BadRecipe:
    return BadRecipe(row, name, (HEAD + more).encode(), said)


def raw(row: str, name: str, data: bytes, said: str) -> BadRecipe:
    return BadRecipe(row, name, data, said)


LAUGHS = 'a0: &a0 ["は", "は"]\n' + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
RECIPES: list[BadRecipe] = [
    read("Y1", "exponent.yaml", "optim: {lr: 1e-4}\n", "optim.lr", 1e-4),
    read("Y1", "exponent_upper.yaml", "optim: {lr: 2E-3}\n", "optim.lr", 2e-3),
    read("Y1", "no_leading_digit.yaml", "optim: {lr: .001}\n", "optim.lr", 1e-3),
    read("Y1", "quoted.yaml", 'optim: {lr: "1e-4"}\n', "optim.lr", 1e-4),
    refused("Y2", "no_for_false.yaml", "train: {tensorboard: no}\n", "tensorboard: expected true or false"),
    refused("Y2", "on_for_true.yaml", "train: {tensorboard: on}\n", "tensorboard: expected true or false"),
    read("Y2", "no_as_text.yaml", "tokenizer: {path: no}\n", "tokenizer.path", "no"),
    read("Y2", "leading_zero.yaml", "seed: 012\n", "seed", 12),
    read("Y2", "underscores.yaml", "tokenizer: {vocab_size: 1_000}\n", "tokenizer.vocab_size", 1000),
    refused("Y2", "octal.yaml", "seed: 0o12\n", "seed: .*found '0o12'"),
    refused("Y2", "sexagesimal.yaml", "seed: 1:30\n", "seed: .*found '1:30'"),
    refused("Y2", "true_for_a_number.yaml", "seed: true\n", "seed: expected integer, found True"),
    refused("Y2", "fraction_for_a_number.yaml", "seed: 1.5\n", "seed: .*found 1.5"),
    refused("Y3", "misspelt.yaml", "optim: {learning_rate: 1}\n", "unknown key 'optim.learning_rate'"),
    refused("Y3", "misspelt_near.yaml", "train: {durations: 1 epochs}\n", "did you mean 'train.duration'"),
    refused("Y3", "misplaced.yaml", "vocab_size: 500\n", "did you mean 'tokenizer.vocab_size'"),
    refused("Y3", "section.yaml", "trian: {}\n", "unknown key 'trian'.* did you mean 'train'"),
    refused("Y4", "twice.yaml", "seed: 1\nseed: 2\n", "line 4: not valid YAML: the key 'seed' stands twice"),
    refused("Y4", "twice_inside.yaml", "optim:\n  lr: 1\n  lr: 2\n", "line 5: .*'lr' stands twice"),
    refused("Y5", "object.yaml", "seed: !!python/object/apply:os.system ['true']\n", "line 3: not valid"),
    refused("Y5", "name.yaml", "seed: !!python/name:os.system\n", "line 3: not valid YAML"),
    refused("Y5", "tag.yaml", "seed: !mine 3\n", "line 3: not valid YAML"),
    raw("Y6", "laughs.yaml", LAUGHS.encode(), r"line 2: not valid YAML: aliases \(\*name\) are not read"),
    refused("Y6", "circle.yaml", "optim: &a {b: *a}\n", "aliases"),
    refused("Y6", "merge.yaml", "optim: &a {lr: 1}\ntrain: {<<: *a}\n", "aliases"),
    refused("Y6", "nested.yaml", "optim: " + "[" * 50_000 + "\n", "not valid YAML"),
    refused("Y7", "tab.yaml", "optim:\n\tlr: 1e-4\n", "line 4: not valid YAML: .*'\\\\t'"),
    refused("Y8", "negative.yaml", "optim: {lr: -1}\n", "optim.lr: .*greater than 0"),
    refused("Y8", "zero.yaml", "optim: {lr: 0}\n", "optim.lr: .*greater than 0"),
    refused("Y8", "infinite.yaml", "optim: {lr: .inf}\n", "optim.lr: "),
    refused("Y8", "not_a_number.yaml", "optim: {lr: .nan}\n", "optim.lr: "),
    refused("Y8", "beyond_floats.yaml", "optim: {lr: 1e400}\n", "optim.lr: .*finite"),
    refused("Y8", "huge.yaml", "tokenizer: {vocab_size: 10000000000000}\n", "vocab_size: .*less than"),
    refused("Y8", "digits.yaml", "seed: " + "9" * 5_000 + "\n", "not valid YAML|seed: "),
    refused("Y8", "huge_batch.yaml", "train: {batch_tokens: 1e30}\n", "train.batch_tokens: "),
    refused("Y8", "negative_duration.yaml", "train: {duration: -1 epochs}\n", "expected a duration"),
    refused("Y8", "no_duration.yaml", "train: {duration: 0 steps}\n", "expected a duration"),
    refused("Y8", "huge_duration.yaml", "train: {duration: 1e40 steps}\n", "expected a duration"),
    refused("Y8", "no_block.yaml", "objective: {name: causal, block_size: 0}\n", "objective.block_size: "),
    refused("Y8", "huge_block.yaml", "objective: {name: causal, block_size: 1000000000000000}\n",
            "objective.block_size: "),
    raw("Y8", "share.yaml", b"corpus: {inputs: [a], valid_fraction: 1.5}\nrun_dir: x\n", "valid_fraction"),
    raw("Y9", "empty.yaml", b"", "is empty"),
    raw("Y9", "comments.yaml", "# まだ何もない\n\n---\n".encode(), "is empty"),
    raw("Y9", "mark.yaml", b"\xef\xbb\xbf", "is empty"),
    raw("Y9", "list.yaml", b"- a\n- b\n", "expected a mapping of settings, found a list"),
    raw("Y9", "text.yaml", b"train\n", "expected a mapping of settings, found a str"),
    raw("Y9", "two.yaml", b"seed: 1\n---\nseed: 2\n", "not valid YAML"),
    raw("Y10", "windows.yaml", "run_dir: 実験\n".encode("cp932"), r"is not UTF-8 \(byte 9\)"),
    raw("Y10", "utf16.yaml", "run_dir: x\n".encode("utf-16"), "is not UTF-8"),
    raw("Y10", "nul.yaml", b"run_dir: \0\n", "not valid YAML"),
    BadRecipe("Y10", "marked.yaml", b"\xef\xbb\xbf" + HEAD.encode() + b"seed: 3\n", None, ("seed", 3)),
    BadRecipe("Y10", "crlf.yaml", (HEAD + "seed: 3\n").replace("\n", "\r\n").encode(), None, ("seed", 3)),
]  # fmt: skip
