"""`make bench`: our side and the peers' side, in turn, on real text; writes a dated page of results.

    python benchmarks/run.py [--part speed quality start tokenise prepare masked masked-quality] [--rounds 5]
                             [--text FILE] [--baseline SCRIPT] [--masked-baseline SCRIPT]

The text is TANE_TEST_DATA/ja/aozora-a.txt.gz where that is set, else the bundled sample; the masked parts
say theirs. --baseline takes another script with the command line of benchmarks/tutorial_loop.py,
--masked-baseline one with that of benchmarks/masked_loop.py. Each part stays under ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

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
        self.work, self.baseline, self.count = work, baseline, 0
        self.common = ["--corpus.inputs", text, "--data-dir", str(work / "data")]
        subprocess.run([*TANE, "prepare", str(RECIPE), *self.common], check=True)
        self.train, self.valid = plain_texts(work / "data", work)

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
        folder = str(self.work / "data" / "tokenizer")
        return [sys.executable, str(self.baseline), folder, str(self.train), str(self.valid), *flags]

    def score(self, model: Path | str, unit: str) -> dict[str, float]:
        done = subprocess.run(
            [*TANE, "evaluate", str(model), "--data", str(self.valid), "--unit", unit, "--json", "--quiet"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])


def speed(bench: Bench, rounds: int) -> dict:
    """Tokens a second of short runs, AdamW on both sides."""
    still = (
        "--train.eval-every",
        "1000 steps",
        "--train.duration",
        "40 steps",
        "--train.tensorboard",
        "false",
    )
    ours = runner.Side("tane (AdamW)", bench.ours("--optim.name", "adamw", *still), "tokens_per_second")
    muon = runner.Side("tane (Muon, the default)", bench.ours(*still), "tokens_per_second")
    peer = runner.Side("tutorial loop", bench.theirs("--max-steps", "40"), "tokens_per_s")
    # one name for the figure, so that ratios are of like and like
    notes = "GPT-2, 4 layers of 256, 8,000 pieces, blocks of 256, 2,048 tokens a step, 40 steps."
    return runner.interleave("Causal training, tokens a second", [ours, muon, peer], rounds, notes)


def last_json(command: list[str]) -> dict:
    """Run a command and read the object on its last line."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def quality(bench: Bench, rounds: int) -> dict:
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


def start(bench: Bench, rounds: int) -> dict:
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


def large_text(bench: Bench, megabytes: int) -> Path:
    """A text of about so many megabytes: paragraphs of the training text, each made its own by a number."""
    path = bench.work / f"large-{megabytes}.txt"
    if not path.exists():
        few = [part for part in bench.train.read_text(encoding="utf-8").split("\n\n") if part.strip()]
        size = number = 0
        with path.open("w", encoding="utf-8") as out:
            while size < megabytes * 1_000_000:
                size += out.write(f"{number} {few[number * 7919 % len(few)]}\n\n") * 2.9
                number += 1
    return path


def tokenise(bench: Bench, rounds: int) -> list[dict]:
    """Text to ids on one core and on all: tane's stage, one call a sentence, the raw library."""
    tokenizer = str(bench.work / "data" / "tokenizer")
    script = [sys.executable, str(HERE / "preparing.py")]
    tables = []
    for title, megabytes, cores in (("one core", 30, ["1"]), ("all cores", 100, [])):
        text = str(large_text(bench, megabytes))
        sides = [
            runner.Side(name, [*script, side, tokenizer, text, *cores], "mb_per_s", ("tokens",))
            for name, side in (
                ("tane, corpus on the disk to token files", "shards"),
                ("a call a sentence (transformers)", "calls"),
                ("tokenizers alone, texts in memory", "library"),
            )
        ]
        notes = (
            f"Megabytes of UTF-8 text a second, unigram of 8,000 pieces, {megabytes} MB (2 MB for the calls)."
        )
        tables.append(runner.interleave(f"Tokenising, {title}", sides, rounds, notes))
    return tables


def prepare(bench: Bench, rounds: int) -> dict:
    """`tane prepare` on 10 MB and on 1 GB: speed and peak memory of all its processes."""
    tokenizer = str(bench.work / "data" / "tokenizer")
    rows = []
    for size in (10, 1000):
        command = [sys.executable, str(HERE / "preparing.py"), "prepare", tokenizer,
                   str(large_text(bench, size))]  # fmt: skip
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


PARTS = {"speed": speed, "quality": quality, "start": start, "tokenise": tokenise, "prepare": prepare}


def main() -> None:
    parser = argparse.ArgumentParser()
    every = [*PARTS, *masked_parts.PARTS]
    parser.add_argument("--part", nargs="+", choices=every, default=every)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text")
    parser.add_argument("--baseline", type=Path, default=HERE / "tutorial_loop.py")
    parser.add_argument("--masked-baseline", type=Path, default=HERE / "masked_loop.py")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="tane-bench-"))
    try:
        real = os.environ.get("TANE_TEST_DATA")
        text = args.text or (f"{real}/ja/aozora-a.txt.gz" if real else "")
        if not text:
            from tane.sample import write_corpus

            text = str(work / "sample.txt")
            write_corpus(text)
        made = []
        if causal := [part for part in args.part if part in PARTS]:
            bench = Bench(str(Path(text).resolve()), args.baseline, work)
            made += [PARTS[part](bench, args.rounds) for part in causal]
        if masked := [part for part in args.part if part in masked_parts.PARTS]:
            masked_bench = masked_parts.MaskedBench(args.masked_baseline, work)
            made += [masked_parts.PARTS[part](masked_bench, args.rounds) for part in masked]
        results = [result for few in made for result in (few if isinstance(few, list) else [few])]
        shown = {str(work): "WORK", str(Path(text).resolve()): "TEXT", sys.executable: "python"}
        for script in (args.baseline, args.masked_baseline):
            shown[str(script)] = script.name
        for recipe in (RECIPE, masked_parts.RECIPE):
            shown[str(recipe)] = f"recipes/{recipe.name}"
        if real:
            shown[real] = "DATA"
        shown |= {str(HERE): "benchmarks"}
        for result in results:
            for row in result["rows"]:  # commands that anyone can type, without this machine's paths
                command = " ".join(row["command"])
                for path, name in shown.items():
                    command = command.replace(path, name)
                row["command"] = command
        own = "" if args.baseline.parent == HERE else " --baseline SCRIPT"
        own += "" if args.masked_baseline.parent == HERE else " --masked-baseline SCRIPT"
        command = f"python benchmarks/run.py --part {' '.join(args.part)} --rounds {args.rounds}{own}"
        page = runner.write(results, command)
        print(page.read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
