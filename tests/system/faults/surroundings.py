"""The same work under another clock, language, name or umask; and prompts of all kinds: rows 34, 35."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tane import files

from .fault import Fault, Outcome
from .ground import Ground, chance, data_hashes, differences, listing, result_of
from .starts import LIMIT, Change, Start, run

NOT_UTF8 = os.fsdecode(b"\x83e\x83L\x83X\x83g-\xff")  # "text" in Shift_JIS, and a byte that is in no encoding

# ------------------------------------------------------------------------------------------- surroundings


def _clock(seconds: float) -> Change:
    """The clock goes wrong by so much."""

    def change() -> None:
        right, right_ns = time.time, time.time_ns
        time.time = lambda: max(0.0, right() + seconds)
        time.time_ns = lambda: max(0, right_ns() + int(seconds * 1e9))

    return change


def _zone(name: str) -> Change:
    def change() -> None:
        os.environ["TZ"] = name
        time.tzset()

    return change


def _umask(mask: int) -> Change:
    return lambda: os.umask(mask)


CHANGES: dict[str, Change] = {
    "a clock 30 years back": _clock(-30 * 365 * 86400.0), "a clock at its beginning": _clock(-1e12),
    "a clock 80 years ahead": _clock(80 * 365 * 86400.0), "UTC+14": _zone("Pacific/Kiritimati"),
    "UTC-11": _zone("XYZ11"), "umask 077": _umask(0o77), "umask 000": _umask(0),
}  # fmt: skip
NAMES = {
    "Japanese names": "日本語 の フォルダ", "names that are no UTF-8": NOT_UTF8,
    "a name with spaces and signs": "a b'c\"d$e&f;g[h]*", "a long name": "長" * 80,
}  # fmt: skip
PLAIN = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
STARTS = {
    "LANG=C": PLAIN, "another hash seed": {"PYTHONHASHSEED": "12345"},
    "LANG=C, names that are no UTF-8": PLAIN,
}  # fmt: skip
TIMES = "files from the future"
KINDS = (*CHANGES, *NAMES, TIMES, *STARTS)


def surroundings(ground: Ground, number: int) -> Outcome:
    """Row 34: data and a run are made where something is another way that must not matter."""
    draw, outcome, kind = chance("34", number), Outcome(), KINDS[number % len(KINDS)]
    with ground.place("around") as place:
        name = NAMES.get(kind, NOT_UTF8 if "no UTF-8" in kind else "plain")
        folder, data, text = place / name / "run", place / name / "data", ground.text
        if kind == TIMES or name != "plain":
            text = ground.copy(ground.text, place / name / "text")
        if name != "plain":
            for path in text.iterdir():
                path.rename(text / f"{path.stem}-{name}.txt")
        if kind == TIMES:
            for path in text.iterdir():
                os.utime(path, (2**32 + draw.randrange(2**31),) * 2)
        recipe = _recipe(ground, place, folder, data, text)
        if kind in STARTS:
            code, err = _start(["train", recipe, "--quiet"], place, STARTS[kind])
        else:
            changes = [CHANGES[kind]] if kind in CHANGES else []
            end = run(["train", recipe, "--quiet"], place, [ground.told(folder), *changes])
            code, err = end.code, end.err
        outcome.require(code == 0, f"{kind}: ended with {code}: {err[-300:]}")
        if code == 0:
            # a corpus names its files, and its manifest hashes that
            moved = text != ground.text
            same = [
                n for n in listing(data) if not (moved and n.endswith((files.MANIFEST, ".zst", ".jsonl")))
            ]
            found, due = data_hashes(data), data_hashes(ground.data)
            other = [n for n in same if found[n] != due.get(n)]
            outcome.require(listing(data) == listing(ground.data), f"{kind}: other files")
            outcome.require(not other, f"{kind}: {other} differ")
            result = result_of(folder)
            due_result = {k: v for k, v in ground.result.items() if kind not in STARTS or "blocks" not in k}
            outcome.require(not differences(result, due_result), f"{kind}: {differences(result, due_result)}")
            marks = [files.Manifest.read(d / "corpus").meta["fingerprint"] for d in (data, ground.data)]
            outcome.require(marks[0] == marks[1], f"{kind}: another fingerprint")
            outcome.figures = {"n files compared": float(len(same))}
    return outcome


def _recipe(ground: Ground, place: Path, folder: Path, data: Path, text: Path) -> Path:
    """A recipe; YAML holds text alone, so links lead to folders whose names are no UTF-8."""
    if NOT_UTF8 in str(folder):
        for name, target in (("run", folder), ("data", data), ("text", text)):
            target.mkdir(parents=True, exist_ok=True)
            (place / name).symlink_to(target)
        return ground.recipe(place / "run", data=place / "data", text=place / "text")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return ground.recipe(folder, data=data, text=text)


def _start(arguments: list[object], place: Path, environment: dict[str, str]) -> tuple[int, str]:
    """A start from nothing: (its code, what it said)."""
    command = [sys.executable, "-m", "tane", *map(str, arguments)]
    held = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONHASH"))}
    done = subprocess.run(
        command, cwd=place, env={**held, **environment}, capture_output=True, timeout=LIMIT, check=False
    )
    return done.returncode, done.stderr.decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------------ prompts

FAMILY = "👨\u200d👩\u200d👧\u200d👦"  # one sign of seven characters and 25 bytes
SPECIAL = "<|endoftext|>"


def _far(draw: random.Random) -> str:
    return "".join(draw.choices("春の海ひねもすのたりかな。", k=draw.randrange(100, 20_000)))


def _signs(draw: random.Random) -> str:
    return "".join(draw.choices((FAMILY, "😀", "🇯🇵", "が", "葛\U000e0100"), k=draw.randrange(1, 60)))


# what it is -> (the prompt, whether it may be refused)
PROMPTS: dict[str, tuple[Callable[[random.Random], str], bool]] = {
    "far over the context": (_far, False),
    "a million characters": (lambda draw: draw.choice("あaア😀\n ") * 1_000_000, False),
    "a special token's text": (lambda draw: SPECIAL * draw.randrange(1, 5), False),
    "special tokens in a text": (lambda draw: f"<s>春{SPECIAL}は</s><unk>[MASK]▁<0x41>", False),
    "signs of several tokens": (_signs, False),
    "a lone surrogate": (lambda draw: f"春{chr(draw.randrange(0xD800, 0xE000))}夏", True),
    "bytes that are no UTF-8": (lambda draw: os.fsdecode(bytes(draw.choices(range(128, 256), k=9))), True),
    "nothing": (lambda draw: "", False),
    "NUL and its like": (lambda draw: f"春{draw.choice(chr(0) + chr(1) + chr(0x1B) + chr(0xFFFF))}夏", True),
    "white space": (lambda draw: draw.choice((" ", "\n", "\u3000", "\t\n ")), False),
}
WAYS = ("--prompt", "--prompt-file", "--json")


def prompts(ground: Ground, number: int) -> Outcome:
    """Row 35: a prompt of a kind that nobody expects, on the command line, in a file, with a JSON answer."""
    draw, outcome = chance("35", number), Outcome()
    kind, way = list(PROMPTS)[number % len(PROMPTS)], WAYS[number // len(PROMPTS) % len(WAYS)]
    make, refusable = PROMPTS[kind]
    prompt = make(draw)
    with ground.place("prompt") as place:
        given, expected = _given(prompt, way, place)
        more = [*given, "--max-new-tokens", draw.randrange(1, 9), "--seed", draw.randrange(99)]
        start = Start(["generate", ground.exported, *more], place, [_noted(place / "ids")])
        start.until(lambda: False)
        printed = start.out.read_bytes()
        end = start.end()
        told = f"{kind}, {way}"
        outcome.figures = {"n refused": float(end.code == 2), "seconds": end.seconds}
        outcome.require(end.clean, f"{told}: no plain message: {end.err[-300:]}")
        outcome.require(
            end.code == 0 or (refusable and end.code == 2), f"{told}: {end.code}: {end.err[-300:]}"
        )
        try:
            text = printed.decode("utf-8")
        except UnicodeDecodeError as error:
            outcome.require(False, f"{told}: what was printed is no UTF-8: {error}")
            return outcome
        if end.code != 0:
            return outcome
        if way == "--json":
            text = json.loads(text)["texts"][0]
        outcome.require(text.startswith(expected), f"{told}: the text does not begin with the prompt")
        rows = [json.loads(line) for line in (place / "ids").read_text(encoding="utf-8").splitlines()]
        pieces = json.loads((ground.exported / "tokenizer.json").read_text(encoding="utf-8"))
        special = {piece["id"] for piece in pieces["added_tokens"] if piece["special"]}
        found = special & {id for row in rows for id in row["ids"][1:]}
        outcome.require(special and not found, f"{told}: text became special tokens: {rows[0]['ids'][:20]}")
        longest = max(len(row["ids"]) for row in rows)
        outcome.require(longest <= 32, f"{told}: {longest} tokens for a model of 32 positions")
        cut = any(row["ids"][0] != row["eos"] for row in rows)
        outcome.require(not cut or "only its last" in end.err, f"{told}: it was cut, and nobody was told")
        outcome.figures["n cut to the context"] = float(cut)
    return outcome


def _given(prompt: str, way: str, place: Path) -> tuple[list[object], str]:
    """(arguments, what the text begins with). A file gives a line a prompt, and no empty ones."""
    if way == "--prompt-file":
        line = prompt.replace("\n", "")
        path = place / "prompts.txt"
        path.write_bytes(
            f"{line}\n".encode("utf-8", "surrogateescape" if _escapes(line) else "surrogatepass")
        )
        return ["--prompt-file", path], line if line.strip() else ""
    return ["--prompt", prompt, *([way] if way == "--json" else [])], prompt


def _escapes(text: str) -> bool:
    """Whether all lone surrogates stand for bytes, as the system's names and arguments have them."""
    return all(0xDC80 <= ord(c) < 0xDD00 for c in text if 0xD800 <= ord(c) < 0xE000)


def _noted(note: Path) -> Change:
    """The ids that the model is given are written down."""

    def change() -> None:
        import transformers

        mixin: Any = transformers.GenerationMixin
        generate = mixin.generate

        def noted(self: Any, **given: Any) -> Any:
            row = {"ids": given["input_ids"][0].tolist(), "eos": given["eos_token_id"]}
            with open(note, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            return generate(self, **given)

        mixin.generate = noted

    return change


FAULTS = (
    Fault("34", "another clock, language, umask, other names", "one of them, data and run made anew",
          "the same fingerprint, the same bytes of data, the same weights", surroundings, 30, 1),
    Fault("35", "prompts that nobody expects", "far too long, special tokens' text, broken Unicode, none",
          "said what is cut, or exit 2; specials stay text; what is printed is UTF-8", prompts, 60, 2),
)  # fmt: skip
