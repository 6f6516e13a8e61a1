"""The book-keeping of a corpus: every character that was read is kept or stands in a bucket with a reason.

    read = kept + change + separators + dropped

Each bucket is counted where the thing happens, by the code that does it; nothing is computed as "the rest".
The sum is checked at the end, so a reader that loses a character cannot publish a corpus. One ledger serves
one file; the corpus adds them up.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


class Ledger:
    """Counts of characters (and documents) of one file or of many.

    read: characters decoded; kept_characters, kept_documents: what stands in the corpus; change: name ->
    characters taken away by normalising (negative: added); separators: line ends and blank lines between
    documents; found: documents before any was dropped; dropped_characters, dropped_documents: reason ->
    count; notes: further counts that no law binds.
    """

    def __init__(self) -> None:
        self.read = 0
        self.found = 0
        self.kept_characters = 0
        self.kept_documents = 0
        self.separators = 0
        self.change: Counter[str] = Counter()
        self.dropped_characters: Counter[str] = Counter()
        self.dropped_documents: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def drop(self, reason: str, characters: int, documents: int = 1) -> None:
        """Book characters (and documents that had been counted as found) as left out."""
        self.dropped_characters[reason] += characters
        self.dropped_documents[reason] += documents

    def add(self, other: Ledger) -> None:
        """Take another ledger's counts into this one."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                mine = getattr(self, name)
                for key, count in value.items():
                    mine[key] += count
            else:
                setattr(self, name, getattr(self, name) + value)

    def check(self, what: str) -> None:
        """Raise RuntimeError when a character or document is unaccounted for: our fault, not the text's."""
        away = self.separators + sum(self.change.values()) + sum(self.dropped_characters.values())
        characters = self.read - self.kept_characters - away
        documents = self.found - self.kept_documents - sum(self.dropped_documents.values())
        if characters or documents:
            missing = f"{characters:+,} characters and {documents:+,} documents are unaccounted for"
            raise RuntimeError(f"{what}: {missing}\n{self.table()}")

    def rows(self) -> list[tuple[str, int, int | None]]:
        """(bucket, characters, documents) in the order of the law, what was read first."""
        rows: list[tuple[str, int, int | None]] = [
            ("read", self.read, self.found),
            ("kept", self.kept_characters, self.kept_documents),
        ]
        rows += [(f"change: {name}", count, None) for name, count in sorted(self.change.items()) if count]
        rows.append(("separators", self.separators, None))
        for reason in sorted(self.dropped_characters):
            rows.append(
                (f"dropped: {reason}", self.dropped_characters[reason], self.dropped_documents[reason])
            )
        return rows

    def table(self) -> str:
        """The rows as aligned text with each bucket's share of what was read; notes below."""
        lines = [f"{'':<30}{'characters':>15}{'':>9}{'documents':>13}"]
        for name, characters, documents in self.rows():
            share = f"{100 * characters / self.read:.2f} %" if self.read else "-"
            number = f"{documents:,}" if documents is not None else ""
            lines.append(f"{name:<30}{characters:>15,}{share:>9}{number:>13}".rstrip())
        lines += [
            f"note: {name.replace('_', ' ')}: {count:,}"
            for name, count in sorted(self.notes.items())
            if count
        ]
        return "\n".join(lines)

    def reasons(self) -> str:
        """Why documents are missing, in one line."""
        parts = [
            f"{reason}: {count:,} documents ({self.dropped_characters[reason]:,} characters)"
            for reason, count in sorted(self.dropped_documents.items())
        ]
        return "; ".join([f"{self.read:,} characters read", *parts])

    def json(self) -> dict[str, Any]:
        """The form that the manifest keeps."""
        return {
            "read": self.read,
            "found": self.found,
            "kept": {"characters": self.kept_characters, "documents": self.kept_documents},
            "change": {k: v for k, v in sorted(self.change.items()) if v},
            "separators": self.separators,
            "dropped": {
                reason: {"characters": count, "documents": self.dropped_documents[reason]}
                for reason, count in sorted(self.dropped_characters.items())
            },
            "notes": {k: v for k, v in sorted(self.notes.items()) if v},
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Ledger:
        """The ledger that a manifest keeps, for showing it again."""
        ledger = cls()
        ledger.read, ledger.found, ledger.separators = kept["read"], kept["found"], kept["separators"]
        ledger.kept_characters, ledger.kept_documents = kept["kept"]["characters"], kept["kept"]["documents"]
        ledger.change.update(kept["change"])
        ledger.notes.update(kept["notes"])
        for reason, counts in kept["dropped"].items():
            ledger.drop(reason, counts["characters"], counts["documents"])
        return ledger
