"""`python -m tane.sample`: prints stories, writes the corpus to a file, or labelled pairs into a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tane.sample.generate import DEFAULT, stories, write_corpus
from tane.sample.pairs import write_pairs


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tane.sample", description="Short stories in easy Japanese."
    )
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal stories (default: 0)")
    parser.add_argument("--count", type=int, help=f"how many (default: 20; with --out: {DEFAULT})")
    parser.add_argument("--out", help="write them to this file instead of printing them")
    parser.add_argument("--pairs", metavar="DIR", help="write labelled pairs: train.csv, valid.csv, test.csv")
    args = parser.parse_args(argv)
    if args.count is not None and args.count < 0:
        parser.error("--count must not be negative")
    if args.out:
        written = write_corpus(args.out, args.seed, DEFAULT if args.count is None else args.count)
        print(f"wrote {written} stories to {args.out}")
    if args.pairs:
        paths = write_pairs(args.pairs)
        print(f"wrote {', '.join(map(str, paths.values()))}")
    if args.out or args.pairs:
        return 0
    for story in stories(args.seed, 20 if args.count is None else args.count):
        print(story)
    return 0


if __name__ == "__main__":
    sys.exit(main())
