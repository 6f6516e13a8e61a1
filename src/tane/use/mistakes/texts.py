"""Mistakes in the text itself: read in a wrong encoding, or the same in validation as in training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tane.text.columns import fit
from tane.use.mistakes.facts import Facts, Mistake

# In a thousand documents. Whole corpora are read wrongly, or single files of them; less is what other people
# left in their own pages.
MOJIBAKE = 0.001
# Of the validation documents. Below it the others decide: in ready-made text and data sets up to 0.6 % are
# such, and up to 4 % almost the same as a training document (MRPC).
COPIES = 0.02
NEAR_COPIES, AT_LEAST = 0.1, 3
EXCERPT = 40  # columns of an example


class Misread(NamedTuple):
    """A trace that text leaves which was read in a wrong encoding. one_of: a text without any of these
    characters has none; said: what happened; right: the encoding that the file has."""

    said: str
    one_of: str
    pattern: re.Pattern[str]
    right: str = "utf-8"


# They also hold after NFKC, by which half-width katakana become full-width ones and © stays. A kana takes
# three bytes in UTF-8, E3 and 81 to 83 first, and two in cp932 (82, 83 first) and EUC-JP (A4 first).
MISREAD = (
    Misread("UTF-8 read as cp932", "縺繧繝", re.compile("(?:[縺繧繝][^縺繧繝]{0,2}){4}")),
    Misread("UTF-8 read as Latin-1", "ã", re.compile("(?:ã[\x81-\x83\u201a\u0192].?){3}")),
    Misread("UTF-8 read as Latin-1", "ÃÂâ", re.compile("Ã[\x80-\xa9\xab-\xb9]|Â[\x80-\xbf]|â€")),
    Misread(
        "cp932 read as Latin-1", "\x82\x83\u201a\u0192",
        re.compile("(?:[\x82\u201a][^\x82\x83\u201a\u0192]|[\x83\u0192].){4}"), "cp932",
    ),
    Misread("EUC-JP read as Latin-1", "¤", re.compile("(?:¤[^¤]{1,2}){4}"), "euc_jp"),
    Misread(
        "EUC-JP read as cp932", "､、",
        re.compile("(?:[､･][ｦ-ﾟ｡-｣\ue000-\uf8ff]{1,3}){6}|(?:[、・][ァ-ヶー。「」\ue000-\uf8ff]{1,3}){8}"),
        "euc_jp",
    ),
    Misread("bytes that could not be read", "\ufffd", re.compile("\ufffd+"), "auto"),
)  # fmt: skip


def misread(text: str) -> tuple[Misread, int] | None:
    """What happened to a text that was read in a wrong encoding, and where in it that shows; None: nothing
    shows."""
    for one in MISREAD:
        if any(sign in text for sign in one.one_of):
            found = one.pattern.search(text)
            if found:
                return one, found.start()
    return None


def mojibake(facts: Facts) -> Iterator[Mistake]:
    """Text that was read in a wrong encoding."""
    documents = [*facts.looked.train, *facts.looked.valid]
    counts: Counter[Misread] = Counter()
    first = ""
    for name, text in documents:
        found = misread(text)
        if found is not None:
            counts[found[0]] += 1
            first = first or f"{fit(text[max(0, found[1] - 4) :], EXCERPT)} ({name})"
    if counts.total() > MOJIBAKE * len(documents):
        known = [one for one, _ in counts.most_common()]
        said = ", ".join(dict.fromkeys(one.said for one in known))
        yield Mistake(
            "mojibake",
            f"{_of(counts.total(), len(documents), 'documents')} show {said}: {first}. The model would learn "
            "to write such signs",
            f"name the encoding that the file has: {{path: FILE, encoding: {known[0].right}}}; if the "
            "file itself is so, mend it or leave it out",
        )


def validation_in_training(facts: Facts) -> Iterator[Mistake]:
    """Validation documents that stand in the training text word for word."""
    exact, left_out, total = facts.copies.exact, facts.looked.left_out, len(facts.looked.valid)
    if len(exact) > COPIES * total:
        name, inside = exact[0]
        yield Mistake(
            "validation-in-training",
            f"{_of(len(exact), total, 'validation documents')} stand word for word in the "
            f"training text, such as {name} in {inside}. The validation loss would tell what was learnt by "
            "heart",
            _apart(facts),
        )
    elif left_out > COPIES * total:
        yield Mistake(
            "validation-in-training",
            f"{left_out:,} documents of corpus.inputs are the same as some of corpus.valid_inputs. They are "
            "left out of training, which has that much less text",
            "name other files in one of the two",
        )


def near_duplicates(facts: Facts) -> Iterator[Mistake]:
    """Validation documents that are almost training documents."""
    near = facts.copies.near
    if len(near) > NEAR_COPIES * facts.copies.long and len(near) >= AT_LEAST:
        name, inside = near[0]
        yield Mistake(
            "near-duplicates",
            f"{_of(len(near), facts.copies.long, 'validation documents')} are almost the same as a training "
            f"document, such as {name} and {inside}. The validation loss would flatter the model",
            _apart(facts),
        )


def _apart(facts: Facts) -> str:
    """How validation and training text are kept apart."""
    recipe = facts.recipe
    if recipe.task is not None:
        return "take such examples out of the training file, or give other ones: --task.data.valid FILE"
    if recipe.corpus.valid_inputs:
        return "take such text out of corpus.inputs, or name another file in corpus.valid_inputs"
    if recipe.corpus.dedup == "near":
        return f"a lower --corpus.near_threshold than {recipe.corpus.near_threshold:g}"
    return "let almost equal documents be dropped: --corpus.dedup near"


def _of(count: int, total: int, what: str) -> str:
    share = count / max(1, total)
    told = f"{count:,} of {total:,} {what}"
    return f"{told} ({share:.1%})" if share >= 0.0005 else told
