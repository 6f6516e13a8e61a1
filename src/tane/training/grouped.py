"""Examples in groups of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tane.tasks.examples import Encoded


def by_length(encoded: Sequence[Encoded], ids: Sequence[int], budget: int) -> list[list[int]]:
    """Examples sorted by length, in groups that take at most `budget` tokens with their padding (but one
    example at least)."""
    order = sorted(ids, key=lambda i: (encoded[i].length, i))
    groups: list[list[int]] = []
    for i in order:
        rows = len(encoded[i].ids)
        if groups and (len(groups[-1]) + 1) * rows * encoded[i].length <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def even(groups: list[list[int]], size: int) -> list[list[int]]:
    """Groups of examples, as many for each of `size` processes: the largest are halved, or where there are
    not enough examples for that, neighbours put together."""
    groups = [list(group) for group in groups]
    examples = sum(map(len, groups))
    while len(groups) % size:
        if -(-len(groups) // size) * size <= examples:
            most = max(range(len(groups)), key=lambda i: len(groups[i]))
            half = len(groups[most]) // 2
            groups[most : most + 1] = [groups[most][:half], groups[most][half:]]
        else:
            least = min(range(len(groups) - 1), key=lambda i: len(groups[i]) + len(groups[i + 1]))
            groups[least : least + 2] = [groups[least] + groups[least + 1]]
    return groups


def padding_share(encoded: Sequence[Encoded], groups: Iterable[list[int]]) -> float:
    """Share of the positions of some groups that are padding."""
    real = padded = 0
    for group in groups:
        rows = [encoded[i] for i in group]
        real += sum(one.tokens for one in rows)
        padded += sum(len(one.ids) for one in rows) * max(one.length for one in rows)
    return 1 - real / padded if padded else 0.0
