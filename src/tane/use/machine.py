"""What this machine has: packages, cores, memory, folders, graphics cards. Nothing heavy is imported.

`doctor.py` tells it, `traps.py` judges it. Limits of a container count: its cgroup says how many cores and
how much memory this process may really take. Folders are tried out, since rights alone do not tell whether a
lock holds or a file system is read-only.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

from tane import files, hardware, resources

SOURCE = Path(__file__).parents[3]  # of a checkout: the folder of pyproject.toml
NOT_FOR_USERS = ("test", "dev", "docs")  # extras
VARIABLES = (
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES", "RANK", "WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
    "HF_DATASETS_OFFLINE", "TRANSFORMERS_CACHE", "TMPDIR",
    "TANE_CACHE", "LANG", "LC_ALL", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip
DICTIONARIES = ("ipadic", "unidic-lite", "sudachidict-small", "sudachidict-core", "sudachidict-full")
SMI = ("name", "memory.total", "memory.used", "driver_version", "compute_cap")


def system() -> dict[str, Any]:
    """{os, python, bits; encoding of what is printed, prints: whether it has Japanese; handles: how many
    files may be open at once (None: no limit); bytecode}."""
    import resource

    handles = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        prints = bool("種".encode(encoding))
    except (UnicodeEncodeError, LookupError):
        prints = False
    return {
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "bits": struct.calcsize("P") * 8,
        "encoding": encoding,
        "prints": prints,
        "handles": None if handles == resource.RLIM_INFINITY else handles,
        "bytecode": bytecode(),
    }


def bytecode() -> bool:
    """Whether the installed libraries have compiled files, which halve the time to import them."""
    spec = find("transformers") or find("torch")
    if spec is None or not spec.origin:
        return True
    return Path(importlib.util.cache_from_source(spec.origin)).exists()


def find(module: str) -> Any:
    """The spec of a module that could be imported, or None; it is not imported."""
    with contextlib.suppress(ValueError, ImportError):
        return importlib.util.find_spec(module)
    return None


def environment() -> dict[str, str]:
    """Those variables that matter here and are set."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


# ------------------------------------------------------------------------------------------------- packages


def version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """(what tane needs, what each of its extras needs), as lines such as `torch>=2.11,<2.14`."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if project["name"] == "tane":
            return project["dependencies"], project["optional-dependencies"]
    core: list[str] = []
    extras: dict[str, list[str]] = {}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for line in importlib.metadata.requires("tane") or ():
            bare, _, marker = line.partition(";")
            extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
            (extras.setdefault(extra[1], []) if extra else core).append(bare.strip())
    return core, extras


def packages() -> dict[str, dict[str, Any]]:
    """{name: {installed: version or None, wanted: range, fits: bool}} of everything that tane needs."""
    found = {}
    for line in requirements()[0]:
        match = re.match(r"[\w.-]+", line)
        assert match
        have, wanted = version(match[0]), line[match.end() :].strip()
        found[match[0]] = {"installed": have, "wanted": wanted, "fits": bool(have) and fits(have, wanted)}
    return found


def fits(have: str | None, wanted: str) -> bool:
    """Whether a version lies in a range such as `>=2.11,<2.14`."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ImportError:  # comes with transformers, whose absence is told anyway
        return True
    try:
        return have is not None and SpecifierSet(wanted).contains(have, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def companions(beside: dict[str, str]) -> dict[str, str]:
    """{package: the torch that it wants} for those installed ones whose metadata want another than this."""
    found, torch = {}, version("torch")
    for name in beside:
        for line in importlib.metadata.requires(name) or ():
            match = re.fullmatch(r"torch\s*\(?([=<>!~][^;)]*)\)?\s*", line.partition(";")[0])
            if match and torch and not fits(torch, match[1].strip()):
                found[name] = f"torch{match[1].strip()}"
    return found


def extras() -> dict[str, dict[str, Any]]:
    """{extra: {installed: bool, install: the line that installs it}}."""
    checkout = (SOURCE / "pyproject.toml").is_file()
    found = {}
    for name, lines in requirements()[1].items():
        names = [match[0] for line in lines if (match := re.match(r"[\w.-]+", line))]
        have = all(_installed(one) for one in names)
        line = f'pip install -e ".[{name}]"' if checkout else f'pip install "tane[{name}]"'
        if name not in NOT_FOR_USERS:
            found[name] = {"installed": have, "install": line}
    return found


def _installed(name: str) -> bool:
    sudachi = name.startswith("sudachidict")  # any of its sizes does
    return (
        any(version(d) for d in DICTIONARIES if d.startswith("sudachidict"))
        if sudachi
        else bool(version(name))
    )


def japanese() -> dict[str, Any]:
    """{dictionaries: {name: version}, font: file with Japanese glyphs for plots, or None}."""
    spec = find("matplotlib_fontja")
    fonts = sorted(Path(spec.origin).parent.rglob("*.ttf")) if spec and spec.origin else []
    have = {name: version(name) for name in DICTIONARIES}
    return {
        "dictionaries": {name: number for name, number in have.items() if number},
        "font": fonts[0].name if fonts else None,
    }


# -------------------------------------------------------------------------------------------------- folders


def places() -> dict[str, dict[str, Any]]:
    """What `look_at` says of the current folder, that of temporary files, and those of downloads."""
    # a container may run as a user that has no home
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
    try:
        found = {"here": look_at(Path.cwd())}
    except OSError:
        found = {"here": {"path": "", "lacks": "the current folder is gone"}}
    try:
        found["temporary"] = look_at(Path(os.environ.get("TMPDIR") or tempfile.gettempdir()), below=False)
    except FileNotFoundError:
        found["temporary"] = {"path": "", "lacks": "no folder for temporary files can be written"}
    found["hub cache"] = look_at(Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")))
    return found


def look_at(folder: Path, *, below: bool = True) -> dict[str, Any]:
    """{path, lacks: why a run could not write there or None, free, total, kind: of file system, ahead: by how
    many seconds its clock is}. below: one that is not there yet stands for the folder above it."""
    told: dict[str, Any] = {"path": str(folder), "lacks": None}
    try:
        real = resources.existing_parent(folder) if below else folder
        space = shutil.disk_usage(real)
        told |= {"free": space.free, "total": space.total, "kind": kind_of(real)}
        told["ahead"] = round(_try_out(real), 1)
    except OSError as error:
        told["lacks"] = resources.LACKS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return told


def _try_out(folder: Path) -> float:
    """Do in a folder what a run does: write, sync, lock, link, rename. Raises OSError where one fails.

    Returns the seconds that the file system's clock is ahead. Nothing is left behind.
    """
    place = Path(tempfile.mkdtemp(prefix=f"{files.TEMPORARY}doctor-", dir=folder))
    try:
        path = place / "file"
        path.write_bytes(b"x")
        files.sync(path)
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (place / "link").symlink_to("file")
        os.replace(path, place / "renamed")
        files.sync(place)
        return (place / "renamed").stat().st_mtime - time.time()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def kind_of(folder: Path) -> str | None:
    """The kind of file system that a folder lies on, such as ext4 or nfs4; None where the system does not
    tell."""
    best, kind, folder = -1, None, folder.resolve()
    with contextlib.suppress(OSError):
        for line in (hardware.PROC / "mounts").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(" ")
            point = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), fields[1])) if fields[2:] else None
            if point is not None and folder.is_relative_to(point) and len(point.parts) >= best:
                best, kind = len(point.parts), fields[2]
    return kind


def newest() -> float:
    """When the newest of tane's own files was written: an honest clock is not before that."""
    return max(path.stat().st_mtime for path in Path(__file__).parents[1].glob("*.py"))


# ------------------------------------------------------------------------------------------ graphics cards


def cards(limit: float = 15.0) -> list[dict[str, Any]]:
    """NVIDIA's cards as its driver tells them: [{name, memory, used: bytes, driver, capability}]."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={','.join(SMI)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in done.stdout.splitlines():
        name, total, used, driver, capability = [field.strip() for field in line.split(",")][: len(SMI)]
        sizes = [int(n) << 20 if n.isdigit() else None for n in (total, used)]
        found.append({
            "name": name, "memory": sizes[0], "used": sizes[1], "driver": driver, "capability": capability,
        })  # fmt: skip
    return found
