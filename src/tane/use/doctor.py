"""`tane doctor`: what this machine has, and which known traps stand in the way, each with its remedy.

    facts (machine.py, and probe.py in child processes) -> traps (traps.py) -> a table

Works where torch or transformers are broken, hang, or are not there; asks nothing of the network.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tane
from tane import hardware
from tane.types import Result
from tane.use import machine
from tane.use.probe import MARK, PROBES
from tane.use.traps import Facts, find_traps, size

LIMIT = 40.0  # seconds for a probe; a cold disk takes about ten
BESIDE = (
    "torchvision",
    "torchaudio",
    "tensorflow",
)  # imported by what tane imports, where they are installed
CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); from tane.use.probe import main; main()"


def doctor(*, limit: float = LIMIT) -> Result:
    """Look at this machine; `metrics` are {ok, facts, traps: [{name, found, remedy, stops}]}.

    ok: nothing makes training impossible. limit: seconds for what is asked of a library in a child process.
    """
    facts = gather(limit)
    traps = find_traps(facts)
    told = [trap._asdict() for trap in traps]
    return Result(None, {"ok": not any(trap.stops for trap in traps), "facts": facts, "traps": told})


def gather(limit: float = LIMIT) -> Facts:
    """All facts, as JSON-like values; what takes long is asked side by side."""
    with ThreadPoolExecutor(len(PROBES) + 1) as pool:
        cards = pool.submit(machine.cards)
        asked = {name: pool.submit(ask, name, limit) for name in PROBES}
        beside = {name: machine.version(name) for name in BESIDE}
        facts: Facts = {
            "tane": tane.__version__,
            "system": machine.system(),
            "packages": machine.packages(),
            "beside": {name: found for name, found in beside.items() if found},
            "extras": machine.extras(),
            "japanese": machine.japanese(),
            "cores": hardware.cores(),
            "memory": hardware.memory(),
            "places": machine.places(),
            "clock": {"behind": max(0.0, round(machine.newest() - time.time(), 1))},
            "environment": machine.environment(),
        }
        facts["companions"] = machine.companions(facts["beside"])
        facts["probes"] = {name: one.result() for name, one in asked.items()}
        facts["cards"] = cards.result()
    return facts


def ask(name: str, limit: float) -> dict[str, Any]:
    """What one of PROBES answers in a child process, or {error, culprit} where it fails, dies or hangs."""
    command = [sys.executable, "-c", CHILD, name, json.dumps(sys.path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=limit, env=environment, stdin=subprocess.DEVNULL,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"it did not end within {limit:g} s", "culprit": None}
    except OSError as error:
        return {"error": f"no process could be started: {error.strerror}", "culprit": None}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            return dict(json.loads(line.removeprefix(MARK)))
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
    if done.returncode < 0:
        last = f"the process was ended by {signal.Signals(-done.returncode).name}"
    return {"error": last.strip(), "culprit": None}


# ---------------------------------------------------------------------------------------------------- report


def report(metrics: dict[str, Any]) -> str:
    """The table for the person: a line a fact, then the traps with their remedies."""
    facts, traps = metrics["facts"], metrics["traps"]
    lines = [f"{label:<11}{text}" for label, text in _rows(facts)]
    lines.append("")
    if not traps:
        lines.append("nothing stands in the way")
    for trap in traps:
        lines += [f"{'stops' if trap['stops'] else 'trap'}: {trap['found']}", f"  -> {trap['remedy']}"]
    encoding = facts["system"]["encoding"]  # this command works where Japanese cannot be printed too
    return "\n".join(lines).encode(encoding, "backslashreplace").decode(encoding)


def _rows(facts: Facts) -> list[tuple[str, str]]:
    system, torch = facts["system"], facts["probes"]["torch"]
    rows = [("tane", f"{facts['tane']}, Python {system['python']}, {system['os']}")]
    one = facts["packages"]
    good = [f"{name} {told['installed']}" for name, told in one.items() if told["fits"]]
    odd = [f"{name} {told['installed'] or 'missing'} (wanted {told['wanted']})"
           for name, told in one.items() if not told["fits"]]  # fmt: skip
    rows += [("packages", line) for line in _wrapped(good)]
    rows += [("", line) for line in _wrapped(odd)]
    cores, memory = facts["cores"], facts["memory"]
    limited = "" if cores["limit"] is None else f"; the container allows {cores['limit']:g}"
    threads = f"; torch takes {torch['threads']} threads" if "threads" in torch else ""
    rows.append(("cores", f"{cores['usable']} of {cores['machine']}{limited}{threads}"))
    free = "" if memory["available"] is None else f", {size(memory['available'])} free"
    limited = "" if memory["limit"] is None else f"; the container allows {size(memory['limit'])}"
    rows.append(("memory", f"{size(memory['total'])}{free}{limited}"))
    for what, place in facts["places"].items():
        kind = f", {place['kind']}" if place.get("kind") else ""
        told = f"{size(place['free'])} free of {size(place['total'])}{kind}" if "free" in place else "unknown"
        rows.append((what, f"{told}  {place['path']}"))
    rows.append(("GPU", _graphics(facts)))
    if "error" not in torch:
        build = f"CUDA {torch['cuda']}" if torch["cuda"] else "a build without CUDA"
        rows.append(("torch", f"{build}, imported in {torch['seconds']} s; models of transformers in "
                     f"{facts['probes']['transformers'].get('seconds', '-')} s"))  # fmt: skip
        rows.append(("precision", f"{torch['precision']} on {torch['device']}: {_precision(torch)}"))
    japanese = facts["japanese"]
    words = ", ".join(f"{name} {number}" for name, number in japanese["dictionaries"].items())
    rows.append(
        ("Japanese", f"words: {words or 'no dictionary'}; font of plots: {japanese['font'] or 'none'}")
    )
    for name, extra in facts["extras"].items():
        rows.append(("extra", f"{name}: {'installed' if extra['installed'] else extra['install']}"))
    return [(label if number == 0 or rows[number - 1][0] != label else "", text)
            for number, (label, text) in enumerate(rows)]  # fmt: skip


def _graphics(facts: Facts) -> str:
    cards, torch = facts["cards"], facts["probes"]["torch"]
    if cards:
        told = [
            f"{card['name']}, {size(card['memory'] or 0)}, capability {card['capability']}" for card in cards
        ]
        return f"{'; '.join(told)}; driver {cards[0]['driver']}"
    if torch.get("devices"):
        return ", ".join(torch["devices"])
    return "Apple's (mps)" if torch.get("mps") else "none"


def _precision(torch: dict[str, Any]) -> str:
    if torch["device"] != "cpu":
        return "what this device is made for" if torch["precision"] == "bf16" else "it has no fast bf16"
    told = {True: "the processor has bf16", False: "the processor has no bf16", None: "bf16"}[torch["bf16"]]
    return f"{told}, and it {'wins' if torch['precision'] == 'bf16' else 'does not win'} a short race"


def _wrapped(words: list[str]) -> list[str]:
    import textwrap

    return textwrap.wrap(", ".join(words), 98, break_on_hyphens=False, break_long_words=False)
