"""A label for each word: names, parts of speech, with BIO labels for what spans several words.

A row holds a list of words and a list of as many labels (in csv: both as text with spaces between).
Each word is encoded by itself, and its first token bears the label, as in Devlin et al. ("BERT", 2019, 5.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tane.errors import InputError
from tane.settings import option
from tane.tasks import scores
from tane.tasks.classes import probabilities
from tane.tasks.examples import NO_LABEL, NO_TEXT, SHOWN, Encoded, Example, Examples
from tane.tasks.settings import Judgement, TaskSettings, pad
from tane.tasks.tags import OUTSIDE
from tane.types import IGNORE, Batch

if TYPE_CHECKING:
    from tane.text.rows import Table


class TokenClassification(TaskSettings):
    """Words with labels."""

    auto_model: ClassVar[str] = "AutoModelForTokenClassification"
    measures: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall", "accuracy")

    kind: Literal["token-classification"] = option("token-classification", "the task: a label for each word")
    text: str = option("tokens", "the column with the words: a list, or text with spaces between")
    label: str = option("tags", "the column with their labels: a list, or text with spaces between")

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Words and labels."""
        return {"task.text": (self.text,), "task.label": (self.label,)}

    def read(self, table: Table, names: Sequence[str] | None, *, labelled: bool = True) -> Examples:
        """Rows with as many labels as words."""
        own = _names_of(table, self.label) if labelled else None
        known = own or list(names or self.label_names or ())
        numbered = own is not None or not any(name.isdigit() for name in known)
        golds = table.data[self.label] if labelled else [None] * len(table.data)
        rows, left_out = [], Counter(table.dropped)
        for position, words, gold in zip(table.positions, table.data[self.text], golds, strict=True):
            texts = _listed(words)
            tags = [
                known[tag] if numbered and type(tag) is int and 0 <= tag < len(known) else str(tag)
                for tag in _listed(gold)
            ]
            if not texts or not all(texts):
                left_out[NO_TEXT] += 1
            elif labelled and not tags:
                left_out[NO_LABEL] += 1
            elif labelled and len(tags) != len(texts):
                raise InputError(
                    f"{table.name}, {table.place} {position:,}: {len(texts):,} words in {self.text!r} and "
                    f"{len(tags):,} labels in {self.label!r}",
                    "give each word one label",
                )
            else:
                rows.append((position, tuple(texts), tags))
        if names is None:
            names = self.label_names or sorted(
                {tag for _, _, tags in rows for tag in tags} | {OUTSIDE}, key=lambda t: (t != OUTSIDE, t)
            )
        index = {name: number for number, name in enumerate(names)}
        items = [
            Example((), self._gold(table, tags, index, position) if labelled else None, position, texts)
            for position, texts, tags in rows
        ]
        if labelled and len({tag for one in items for tag in one.gold}) < 2:
            raise InputError(
                f"{table.name}: fewer than two different labels in {self.label!r}",
                "name another column: --task.label COLUMN",
            )
        return Examples(table.name, items, tuple(names), left_out, table.place)

    def _gold(self, table: Table, tags: list[str], index: dict[str, int], position: int) -> list[int]:
        unknown = [tag for tag in tags if tag not in index]
        if unknown:
            raise InputError(
                f"{table.name}, {table.place} {position:,}: the label {unknown[0][:SHOWN]!r} in "
                f"{self.label!r} is not one of the {len(index):,} known: {', '.join(list(index)[:12])}",
                "mend it, or name all labels: --task.label_names A B ...",
            )
        return [index[tag] for tag in tags]

    def head(self, names: Sequence[str]) -> dict[str, Any]:
        """An output for each label."""
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: number for number, name in enumerate(names)},
        }

    def encode(self, tokenizer: Any, examples: Sequence[Example], max_length: int | None) -> list[Encoded]:
        """The words' ids between the special tokens of a text; whole words are cut at the end."""
        before, after = _around(tokenizer)
        pieces: dict[str, list[int]] = {}
        found = []
        for one in examples:
            ids, labels, cut = list(before), [IGNORE] * len(before), False
            for number, word in enumerate(one.words):
                if word not in pieces:
                    pieces[word] = tokenizer(word, add_special_tokens=False)["input_ids"] or [
                        tokenizer.unk_token_id if tokenizer.unk_token_id is not None else 0
                    ]
                own = pieces[word]
                if max_length is not None and len(ids) + len(own) + len(after) > max_length:
                    cut = True
                    break
                gold = 0 if one.gold is None else one.gold[number]
                ids += own
                labels += [gold, *[IGNORE] * (len(own) - 1)]
            ids += after
            labels += [IGNORE] * len(after)
            found.append(Encoded([np.array(ids)], None, np.array(labels), cut))
        return found

    def batch(self, rows: Sequence[Encoded], pad_id: int) -> Batch:
        """inputs (B, T), labels (B, T)."""
        labels = pad([one.label for one in rows], IGNORE)["input_ids"]
        targets = int((labels != IGNORE).sum())
        return Batch(pad([one.ids[0] for one in rows], pad_id), labels, targets, sum(r.tokens for r in rows))

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Cross-entropy in nats over the labelled tokens."""
        return cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
        )

    def outputs(self, logits: np.ndarray, rows: Sequence[Encoded]) -> list[np.ndarray]:
        """The logits (words, k) at the first token of each word that was not cut off."""
        return [row[: len(one.label)][one.label != IGNORE] for row, one in zip(logits, rows, strict=True)]

    def answers(self, outputs: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
        """The labels of the words in their order, and the probability of each."""
        found = []
        for rows in outputs:
            sure = [round(float(probabilities(row).max()), 6) for row in rows]
            found.append({"label": [names[int(row.argmax())] for row in rows], "scores": sure})
        return found

    def judge(
        self, train_gold: Sequence[Any], gold: Sequence[Any], outputs: Sequence[np.ndarray],
        names: Sequence[str], *, full: bool = True,
    ) -> Judgement:  # fmt: skip
        """F1 of whole spans beside answering O everywhere; a word that was cut off counts as O."""
        truth = [[names[i] for i in row] for row in gold]
        chosen = [
            [names[int(r.argmax())] for r in rows] + [OUTSIDE] * (len(right) - len(rows))
            for rows, right in zip(outputs, truth, strict=True)
        ]
        found = scores.tags(truth, chosen)
        if not full:
            return Judgement(found, {}, {}, "", None, [])
        misses = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in zip(truth, chosen, strict=True)]
        order = sorted((i for i, count in enumerate(misses) if count), key=lambda i: -misses[i])
        wrong = [(i, " ".join(chosen[i]), float(misses[i])) for i in order]
        return Judgement(
            found,
            scores.tag_intervals(truth, chosen),
            scores.constant_tags(truth),
            f"always {OUTSIDE}",
            None,
            wrong,
        )


def _names_of(table: Table, column: str) -> list[str] | None:
    names = getattr(getattr(table.data.features[column], "feature", None), "names", None)
    return list(names) if names else None


def _listed(value: Any) -> list[Any]:
    return str(value).split() if isinstance(value, str) else list(value or [])


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    whole = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:at], whole[at + len(bare) :]
