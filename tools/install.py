"""Set up `.venv` for this checkout: `make setup` calls it, and so do `make demo` and `make test`.

torch comes first and alone. Before it is taken, pip is asked what it would take: where that is a build with
CUDA and this machine has no NVIDIA GPU, PyTorch's own index of CPU builds is asked instead, and when that
does not answer, the set-up stops and says so (TANE_ALLOW_CUDA=1 takes the CUDA build all the same). A second
call with nothing changed does nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CONSTRAINTS = ROOT / "constraints.txt"


def stop(text: str) -> None:
    """End with a message."""
    sys.exit(f"set-up: {text}")


def pip(*arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the pip of `.venv`; with `capture` its output is kept."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(
        command, text=True, cwd=ROOT, stdout=subprocess.PIPE if capture else None, check=False
    )


def torch_requirement() -> str:
    """The line of constraints.txt that names torch."""
    return next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))


def would_take_cuda(requirement: str, *source: str) -> bool | None:
    """Whether pip would take a torch build that needs NVIDIA's packages; None when it would take nothing."""
    report = pip(
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        "--report",
        "-",
        *source,
        requirement,
        capture=True,
    )
    if report.returncode:
        return None
    needs = json.loads(report.stdout)["install"][0]["metadata"].get("requires_dist", [])
    return (
        any(n.startswith(("nvidia", "cuda")) and "extra ==" not in n for n in needs)
        and sys.platform == "linux"
    )


def install_torch() -> None:
    """torch alone, a CPU build where there is no GPU."""
    requirement = torch_requirement()
    has_gpu = shutil.which("nvidia-smi") is not None
    source: list[str] = []
    if not has_gpu and os.environ.get("TANE_ALLOW_CUDA") != "1":
        cuda = would_take_cuda(requirement)
        if cuda or cuda is None:
            source = ["--index-url", CPU_INDEX]
            if would_take_cuda(requirement, *source) is not False:
                stop(
                    f"no CPU build of {requirement} was found, and this machine has no GPU for the "
                    "CUDA build.\n"
                    "  -> connect to the network, put a CPU wheel where pip finds it "
                    "(PIP_FIND_LINKS), or set TANE_ALLOW_CUDA=1"
                )
    if pip("install", "--quiet", *source, requirement).returncode:
        stop(f"{requirement} could not be installed")


def main() -> None:
    """`install.py [EXTRA ...]`: the extras of pyproject.toml to install besides the package."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        stop(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}\n  -> make "
            "PYTHON=python3.11 setup"
        )
    extras = sorted(set(sys.argv[1:]))
    content = [f.read_bytes() for f in (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__))]
    mark = hashlib.sha256(b"\0".join([*content, " ".join(extras).encode(), sys.version.encode()])).hexdigest()
    stamp = VENV / "tane-setup.txt"
    done = stamp.read_text().split() if stamp.exists() else []
    if mark in done:
        return
    if not PYTHON.exists():
        print("set-up: making .venv", flush=True)
        venv.create(VENV, with_pip=True)
    print("set-up: installing torch, then the rest (some minutes at first)", flush=True)
    install_torch()
    what = f".[{','.join(extras)}]" if extras else "."
    if pip("install", "--quiet", "-c", "constraints.txt", "-e", what).returncode:
        stop("the packages could not be installed; pip's message stands above")
    stamp.write_text("\n".join([*done, mark]))


if __name__ == "__main__":
    main()
