"""constraints.txt pins all that tane needs, once, within pyproject.toml's ranges; and what an audit tells."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tomllib
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINS = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in LINES}
# what torch's build with CUDA brings is pinned by that build itself; the build for the CPU has none of it
OF_TORCH = re.compile(r"nvidia-|cuda-|triton")


def needed(lines: list[str]) -> dict[str, set[str]]:
    """{distribution: who needs it} of everything that requirements need here, directly or through others."""
    found: dict[str, set[str]] = {}
    queue = [(Requirement(line), "tane", "") for line in lines]
    while queue:
        wanted, who, extra = queue.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if OF_TORCH.match(name):
            continue
        first = name not in found
        found.setdefault(name, set()).add(who)
        for asked in ("", *wanted.extras) if first else wanted.extras:
            for line in importlib.metadata.requires(name) or ():
                queue.append((Requirement(line), name, asked))
    return found


def test_every_line_pins_one_version() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []
    counts = Counter(canonicalize_name(line.partition("==")[0]) for line in LINES)
    assert [name for name, count in counts.items() if count > 1] == []


def test_all_that_tane_needs_is_pinned() -> None:
    names = needed(PROJECT["dependencies"])
    assert len(names) > 60 and {"torch", "pillow", "sympy", "charset-normalizer"} <= names.keys()
    missing = {name: who for name, who in names.items() if name not in PINS}
    assert not missing, "add to constraints.txt, with the version that the tests passed with"


@pytest.mark.parametrize("extra", ["test", "dev", "lora", "near", "unidic", "play"])
def test_all_that_an_extra_needs_is_pinned(extra: str) -> None:
    try:
        names = needed(EXTRAS[extra])
    except importlib.metadata.PackageNotFoundError as error:
        pytest.skip(f"the extra {extra} is not installed: {error}")
    assert {name: who for name, who in names.items() if name not in PINS} == {}


def test_the_ranges_admit_the_pinned_versions() -> None:
    lines = [*PROJECT["dependencies"], *(line for more in EXTRAS.values() for line in more)]
    asked = [Requirement(line) for line in lines]
    refused = [str(one) for one in asked if (pin := PINS.get(canonicalize_name(one.name)))
               and not one.specifier.contains(pin)]  # fmt: skip
    assert refused == []


def test_the_pinned_versions_admit_one_another() -> None:
    refused = []
    for name in needed(PROJECT["dependencies"]):
        if importlib.metadata.version(name).partition("+")[0] != PINS.get(name):
            continue  # another version is installed, whose needs are not those of the pinned one
        for line in importlib.metadata.requires(name) or ():
            wanted = Requirement(line)
            pin = PINS.get(canonicalize_name(wanted.name))
            applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            if applies and pin and not wanted.specifier.contains(pin, prereleases=True):
                refused.append(f"{name} needs {wanted}, and {pin} is pinned")
    assert refused == []


# ----------------------------------------------------------------------------------------------- the audit


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools" / "audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ANSWER = {
    "dependencies": [
        {"name": "numpy", "version": "2.4.6", "vulns": []},
        {"name": "torch", "version": "2.13.0", "vulns": [
            {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.13.1", "2.14.0"]},
            {"id": "PYSEC-2", "aliases": [], "fix_versions": ["2.14.0"]},
        ]},
    ]
}  # fmt: skip


def test_an_audit_tells_what_mends_a_fault_within_our_ranges(audit: ModuleType) -> None:
    known, skipped = audit.judge(ANSWER, {"torch": SpecifierSet(">=2.11,<2.14")})
    assert known == [
        "torch 2.13.0: PYSEC-1, CVE-1: mended in 2.13.1",
        "torch 2.13.0: PYSEC-2: no release within our range mends it",
    ]
    assert skipped == []
    assert audit.pins() == LINES and "2.13.0" in audit.ranges()["torch"]


def test_what_an_audit_could_not_look_up_is_never_told_to_be_good(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def unknown(python: Path, lines: list[str]) -> dict[str, object]:
        asked.append(len(lines))
        return {"dependencies": [{"name": "absl-py", "skip_reason": "not found on PyPI"}]}

    monkeypatch.setattr(audit, "set_up", lambda: Path("python"))
    monkeypatch.setattr(audit, "ask", unknown)
    assert audit.main() == 2 and asked == [1]  # the others are not asked for
    assert "not looked up: absl-py" in capsys.readouterr().out
    monkeypatch.setattr(audit, "ask", lambda python, lines: ANSWER)
    assert audit.main() == 1
    monkeypatch.setattr(audit, "ask", lambda python, lines: {"dependencies": ANSWER["dependencies"][:1]})
    assert audit.main() == 0

    def broken(python: Path, lines: list[str]) -> dict[str, object]:
        raise RuntimeError("no address for the service")

    monkeypatch.setattr(audit, "ask", broken)
    assert audit.main() == 2
