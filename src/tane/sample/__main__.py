"""`python -m tane.sample`: prints stories, writes the corpus to a file, or labelled pairs into a folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tane.errors import Interrupted, ResourceError, TaneError
from tane.sample.generate import DEFAULT, stories, write_corpus
from tane.sample.pairs import write_pairs

PROGRAM = "python -m tane.sample"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status, that of `tane` for the same error."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Short stories in easy Japanese.")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal texts (default: 0)")
    parser.add_argument("--count", type=int, help=f"how many stories (default: 20; with --out: {DEFAULT})")
    parser.add_argument("--out", metavar="FILE", help="write them to this file instead of printing them")
    parser.add_argument("--pairs", metavar="DIR", help="write labelled pairs: train.csv, valid.csv, test.csv")
    args = parser.parse_args(argv)
    if args.count is not None and args.count < 0:
        parser.error("--count must not be negative")
    if args.count is not None and args.pairs is not None and args.out is None:
        parser.error("--count is for stories; the number of pairs is always the same")
    try:
        _run(args)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - so that the interpreter's last flush is silent
        return 0
    except TaneError as found:
        error = found
    except KeyboardInterrupt:
        error = Interrupted("interrupted")
    except OSError as found:  # such as a name that is too long
        error = ResourceError(f"{found.filename or 'a file'}: {found.strerror or found}")
    else:
        return 0
    print(f"{PROGRAM}: {error}", file=sys.stderr)
    return error.code


def _run(args: argparse.Namespace) -> None:
    if args.out is not None:
        written = write_corpus(args.out, args.seed, DEFAULT if args.count is None else args.count)
        print(f"wrote {written} stories to {args.out}")
    if args.pairs is not None:
        paths = write_pairs(args.pairs, args.seed)
        print(f"wrote {', '.join(map(str, paths.values()))}")
    if args.out is None and args.pairs is None:
        for story in stories(args.seed, 20 if args.count is None else args.count):
            print(story)


if __name__ == "__main__":
    sys.exit(main())
