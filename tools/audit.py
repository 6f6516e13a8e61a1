"""Check the versions of constraints.txt against the public database of vulnerabilities that PyPI serves.

    python tools/audit.py          (make audit)

pip-audit does it, in a venv of its own (`.venv-audit`, made on the first call). It says "no known
vulnerabilities" also where the service knows none of the packages, so what it skipped is counted here. Exit
status 0: every version was looked up and nothing is known against any; 1: something is; 2: not all could be
looked up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-audit"
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ("pip-audit>=2.9",)


def pins() -> list[str]:
    """The lines of constraints.txt that pin a version."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def ranges() -> dict[str, SpecifierSet]:
    """The versions that pyproject.toml allows of what it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for more in project["optional-dependencies"].values() for line in more),
    ]
    found: dict[str, SpecifierSet] = {}
    for line in lines:
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        found[name] = found.get(name, SpecifierSet()) & wanted.specifier
    return found


def judge(answer: dict[str, Any], allowed: dict[str, SpecifierSet]) -> tuple[list[str], list[str]]:
    """(a line for each vulnerability with the release that mends it, a line for each package not looked up).

    answer: what pip-audit prints as JSON.
    """
    known, skipped = [], []
    for package in answer["dependencies"]:
        if "skip_reason" in package:
            skipped.append(f"{package['name']}: {package['skip_reason']}")
            continue
        wanted = allowed.get(canonicalize_name(package["name"]), SpecifierSet())
        for one in package["vulns"]:
            mended = [version for version in one["fix_versions"] if wanted.contains(version)]
            remedy = f"mended in {mended[0]}" if mended else "no release within our range mends it"
            names = ", ".join([one["id"], *one.get("aliases", [])])
            known.append(f"{package['name']} {package['version']}: {names}: {remedy}")
    return known, skipped


def set_up() -> Path:
    """The Python of `.venv-audit`, made on the first call."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (VENV / "complete").exists():
        venv.create(VENV, with_pip=True, clear=True)
        (VENV / ".gitignore").write_text("*\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (VENV / "complete").touch()
    return python


def ask(python: Path, lines: list[str]) -> dict[str, Any]:
    """What pip-audit says of some pinned versions. Raises RuntimeError where it cannot say anything."""
    with tempfile.TemporaryDirectory(prefix="tane-audit-") as place:
        path = Path(place) / "pins.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [str(python), "-m", "pip_audit", "-r", str(path), "--no-deps", "--disable-pip"]
        command += ["-f", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        raise RuntimeError(last) from None


def main() -> int:
    """Look up one package first: where the service does not know it, the others need not be asked for."""
    lines = pins()
    try:
        python = set_up()
        _, skipped = judge(ask(python, lines[:1]), {})
        known, skipped = ([], skipped) if skipped else judge(ask(python, lines), ranges())
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"audit: nothing could be looked up: {error}")
        return 2
    for line in known:
        print(f"known: {line}")
    for line in skipped:
        print(f"not looked up: {line}")
    if skipped:
        print("audit: not everything could be looked up, so nothing is shown to be free of known faults")
    else:
        print(f"audit: {len(lines)} pinned versions, {len(known)} known vulnerabilities")
    return 1 if known else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
