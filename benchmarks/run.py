"""`make bench`: our side and the peers' side, in turn, on real text; writes a dated page of results.

    python benchmarks/run.py [--part causal load start tokenise ...] [--rounds 5] [--text FILE]
                             [--baseline SCRIPT] [--masked-baseline SCRIPT]

Parts, with their minutes on two cores at five rounds: causal 8, memory 6, time-to-loss 9 and five-minutes 6
a side (causal_parts.py), load 7, overhead 6 and growth 6 (cost_parts.py), masked 9 and masked-quality 5
(masked_parts.py), quality 8, start 1, tokenise 5, prepare 4. Ours once and the tutorial's loop once in
time-to-loss, five-minutes and the qualities, whatever --rounds says.

The text is TANE_TEST_DATA/ja/aozora-a.txt.gz where that is set, else the bundled sample; the masked parts
say theirs. --baseline takes another script with the command line of benchmarks/tutorial_loop.py,
--masked-baseline one with that of benchmarks/masked_loop.py. --minutes and --side are for five-minutes,
--steps and --target-steps for time-to-loss, --megabytes for growth.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import causal_parts
import cost_parts
import masked_parts
import runner

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "aozora-gpt.yaml"
TANE = [sys.executable, "-m", "tane"]


def plain_texts(data: Path, work: Path) -> tuple[Path, Path]:
    """The training and validation documents written out, one line a paragraph, for loops that read lines."""
    from tane.text.corpus import Corpus

    paths = work / "train.txt", work / "valid.txt"
    for split, path in zip(("train", "valid"), paths, strict=True):
        with path.open("w", encoding="utf-8") as out:
            for text in Corpus.open(data / "corpus").texts(split):
                out.write(text + "\n\n")
    return paths


class Bench:
    """What the parts share: the prepared data, a tokenizer folder, plain texts, the two command lines."""

    def __init__(self, text: str, baseline: Path, work: Path) -> None:
        self.text, self.work, self.baseline, self.count = text, work, baseline, 0
        self.data = work / "data"
        self.common = ["--corpus.inputs", text, "--data-dir", str(self.data)]
        subprocess.run([*TANE, "prepare", str(RECIPE), *self.common], check=True)
        self.train, self.valid = plain_texts(self.data, work)

    def ours(self, *overrides: str) -> list[str]:
        """A command that trains in a folder which it deletes first."""
        self.count += 1
        run = self.work / f"run{self.count}"
        return [
            *TANE,
            "train",
            str(RECIPE),
            *self.common,
            "--run-dir",
            str(run),
            "--fresh",
            "--json",
            "--quiet",
            *overrides,
        ]

    def theirs(self, *flags: str) -> list[str]:
        folder = str(self.data / "tokenizer")
        return [sys.executable, str(self.baseline), folder, str(self.train), str(self.valid), *flags]

    def score(self, model: Path | str, unit: str) -> dict[str, float]:
        done = subprocess.run(
            [*TANE, "evaluate", str(model), "--data", str(self.valid), "--unit", unit, "--json", "--quiet"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])

    def large(self, megabytes: int) -> Path:
        """A text of about so many megabytes: paragraphs of the training text, each made its own by a
        number."""
        path = self.work / f"large-{megabytes}.txt"
        if not path.exists():
            few = [part for part in self.train.read_text(encoding="utf-8").split("\n\n") if part.strip()]
            size = number = 0
            with path.open("w", encoding="utf-8") as out:
                while size < megabytes * 1_000_000:
                    text = f"{number} {few[number * 7919 % len(few)]}\n\n"
                    out.write(text)
                    size += len(text.encode())
                    number += 1
        return path


def last_json(command: list[str]) -> dict:
    """Run a command and read the object on its last line."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def quality(bench: Bench, rounds: int, args: argparse.Namespace) -> dict:
    """Bits a character after 300 steps of each, and at equal time; every model scored by `tane evaluate`."""
    run = bench.ours()
    seconds = last_json(run)["seconds"]
    models = [("tane, 300 steps", run[run.index("--run-dir") + 1], seconds)]
    for name, flags in (
        ("tutorial, 300 steps", ["--max-steps", "300"]),
        ("tutorial, as long as tane's 300 steps", ["--max-steps", "100000", "--seconds", str(seconds)]),
    ):
        folder = str(bench.work / f"peer{len(models)}")
        models.append((name, folder, last_json(bench.theirs(*flags, "--save", folder))["seconds"]))
    rows = []
    for name, folder, took in models:
        texts, lines = bench.score(folder, "paragraph"), bench.score(folder, "line")
        values = {
            "whole texts": texts["bits_per_char"],
            "lines without EOS": lines["bits_per_char_without_eos"],
        }
        rows.append({"side": name, "seconds": took, "command": [], **values})
    table = [
        "| side | training seconds | bits a character, whole texts | single lines, EOS not counted |",
        "|---|---|---|---|",
    ]
    table += [
        f"| {r['side']} | {r['seconds']:.0f} | {r['whole texts']:.3f} | {r['lines without EOS']:.3f} |"
        for r in rows
    ]
    notes = (
        "One run each; lower is better. The loop never sees line ends or end-of-text tokens, so the "
        "last column scores "
        "lines one by one and counts only the tokens of the text."
    )
    return {
        "title": "Held-out text after training",
        "rounds": 1,
        "notes": notes,
        "rows": rows,
        "markdown": table,
    }


def start(bench: Bench, rounds: int, args: argparse.Namespace) -> dict:
    """Seconds of `tane --help` and of `import tane`, beside a bare interpreter."""
    code = "; ".join(
        (
            "import json, subprocess, time",
            "start = time.perf_counter()",
            "subprocess.run({}, stdout=subprocess.DEVNULL, check=True)",
            "print(json.dumps(dict(seconds=time.perf_counter() - start)))",
        )
    )
    sides = [
        runner.Side(name, [sys.executable, "-c", code.format(command)], "seconds")
        for name, command in (
            ("tane --help", [*TANE, "--help"]),
            ("import tane", [sys.executable, "-c", "import tane"]),
            ("python -c pass", [sys.executable, "-c", "pass"]),
        )
    ]
    return runner.interleave("Start-up, seconds", sides, max(rounds, 9))


def tokenise(bench: Bench, rounds: int, args: argparse.Namespace) -> list[dict]:
    """Text to ids on one core and on all: tane's stage, the libraries alone, the ways of tutorials."""
    tokenizer = str(bench.data / "tokenizer")
    script = [sys.executable, str(HERE / "preparing.py")]
    tables = []
    for title, megabytes, cores in (("one core", 30, ["--cores", "1"]), ("all cores", 100, [])):
        text = str(bench.large(megabytes))
        sides = [
            runner.Side(name, [*script, side, tokenizer, text, *cores], "mb_per_s", ("tokens",))
            for name, side in (
                ("tane, corpus on the disk to token files", "shards"),
                ("tokenizers alone, texts in memory", "library"),
                ("SentencePiece alone, texts in memory", "pieces"),
                ("encode(line), a call a line (transformers)", "lines"),
                ("tokenizer(sentence), a call a sentence (transformers)", "calls"),
            )
        ]
        notes = (
            f"Megabytes of UTF-8 text a second, unigram of 8,000 pieces, {megabytes} MB (2 MB for the calls)."
        )
        tables.append(runner.interleave(f"Tokenising, {title}", sides, rounds, notes))
    ours = [table["rows"][0]["median"] for table in tables]
    tables[-1]["notes"] += f" tane: {ours[1] / ours[0]:.2f} times its speed on one core."
    return tables


def prepare(bench: Bench, rounds: int, args: argparse.Namespace) -> dict:
    """`tane prepare` on 10 MB and on 1 GB: speed and peak memory of all its processes."""
    tokenizer = str(bench.data / "tokenizer")
    rows = []
    for size in (10, 1000):
        command = [sys.executable, str(HERE / "preparing.py"), "prepare", tokenizer,
                   str(bench.large(size))]  # fmt: skip
        rows.append({"side": f"tane prepare, {size:,} MB", **last_json(command), "command": command})
    table = ["| side | seconds | MB a second | peak memory, MB |", "|---|---|---|---|"]
    table += [
        f"| {r['side']} | {r['seconds']:.1f} | {r['mb_per_s']:.1f} | {r['peak_mb']:.0f} |" for r in rows
    ]
    notes = (
        "One run each, with a tokenizer that is there already: files read, normalised, deduplicated, split, "
        "tokenised, every folder hashed. Peak: all processes, shared pages counted once."
    )
    return {"title": "tane prepare", "rounds": 1, "notes": notes, "rows": rows, "markdown": table}


PARTS = {
    **causal_parts.PARTS, **cost_parts.PARTS,
    "quality": quality, "start": start, "tokenise": tokenise, "prepare": prepare,
}  # fmt: skip


def without_paths(results: list[dict], args: argparse.Namespace, text: str, work: Path) -> None:
    """Make commands of the results such as anyone can type, without this machine's paths."""
    shown = {str(work): "WORK", text: "TEXT", sys.executable: "python"}
    for script in (args.baseline, args.masked_baseline):
        shown[str(script)] = script.name
    for recipe in (RECIPE, masked_parts.RECIPE):
        shown[str(recipe)] = f"recipes/{recipe.name}"
    if real := os.environ.get("TANE_TEST_DATA"):
        shown[real] = "DATA"
    shown |= {str(HERE): "benchmarks"}
    for result in results:
        for row in result["rows"]:
            if isinstance(row["command"], str):  # of a result that was written before
                continue
            command = " ".join(row["command"])
            for path, name in shown.items():
                command = command.replace(path, name)
            row["command"] = command


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    every = [*PARTS, *masked_parts.PARTS]
    parser.add_argument("--part", nargs="+", choices=every, default=every)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text")
    parser.add_argument("--baseline", type=Path, default=HERE / "tutorial_loop.py")
    parser.add_argument("--masked-baseline", type=Path, default=HERE / "masked_loop.py")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--side", nargs="+", choices=causal_parts.SIDES, default=list(causal_parts.SIDES))
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 25, 30, 40, 60])
    parser.add_argument("--target-steps", type=int, default=300)
    parser.add_argument("--megabytes", type=int, nargs="+", default=list(cost_parts.MEGABYTES))
    return parser.parse_args()


def main() -> None:
    args = arguments()
    work = Path(tempfile.mkdtemp(prefix="tane-bench-"))
    try:
        real = os.environ.get("TANE_TEST_DATA")
        text = args.text or (f"{real}/ja/aozora-a.txt.gz" if real else "")
        if not text:
            from tane.sample import write_corpus

            text = str(work / "sample.txt")
            write_corpus(text)
        text = str(Path(text).resolve())
        bench = masked_bench = None
        own = "" if args.baseline.parent == HERE else " --baseline SCRIPT"
        own += "" if args.masked_baseline.parent == HERE else " --masked-baseline SCRIPT"
        for part in args.part:  # each is written when it ends, so that a later one that fails loses nothing
            began = time.perf_counter()
            if part in PARTS:
                bench = bench or Bench(text, args.baseline, work)
                made = PARTS[part](bench, args.rounds, args)
            else:
                masked_bench = masked_bench or masked_parts.MaskedBench(args.masked_baseline, work)
                made = masked_parts.PARTS[part](masked_bench, args.rounds)
            results = made if isinstance(made, list) else [made]
            without_paths(results, args, text, work)
            runner.write(results, f"python benchmarks/run.py --part {part} --rounds {args.rounds}{own}")
            print("\n".join(runner.table(result) for result in results), flush=True)
            print(f"{part}: {(time.perf_counter() - began) / 60:.1f} minutes", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
