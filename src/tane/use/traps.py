"""The known traps of a machine, each found by a look at the facts and told with its remedy.

A check takes what `doctor.facts` gathered and yields a Trap for each thing that stands in the way; nothing is
looked up here. `stops` marks what makes training impossible, all else makes it slow, or some of it fail.

What is no trap, tried with transformers 5.23: JAX and Flax beside it are never imported.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tane import ranks, resources
from tane.errors import InputError

Facts = dict[str, Any]
FULL, SCARCE = 100_000_000, 2_000_000_000  # bytes: no checkpoint fits; a few of a small model do
LITTLE_MEMORY = 1_000_000_000
FEW_HANDLES = 256
CLOCK = 5.0  # seconds
NETWORK = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "vboxsf", "virtiofs",
)  # fmt: skip
CPU_WHEELS = "--index-url https://download.pytorch.org/whl/cpu"


class Trap(NamedTuple):
    """Something in the way: what was found, and what to type. stops: training is impossible with it."""

    name: str
    found: str
    remedy: str
    stops: bool = False


def size(count: float) -> str:
    """Bytes for the person."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


# ----------------------------------------------------------------------------------------------- libraries


def _packages(facts: Facts) -> Iterator[Trap]:
    again = "install again what tane needs: make setup, or pip install -e ."
    missing = [name for name, one in facts["packages"].items() if one["installed"] is None]
    if missing:
        yield Trap("missing-packages", f"not installed: {', '.join(missing)}", again, stops=True)
    if not facts["packages"]:
        yield Trap("unknown-packages", "tane is not installed, so its needs are unknown", again)
    for name, one in facts["packages"].items():
        if one["installed"] is None or one["fits"]:
            continue
        found = f"{name} {one['installed']} is installed, and tane is tested with {one['wanted']}"
        if name == "transformers" and tuple(map(_leading, one["installed"].split(".")[:2])) < (5, 3):
            found += "; below 5.3 the folders of other people are not opened safely"
        yield Trap("other-version", found, f'pip install "{name}{one["wanted"]}"')


def _leading(text: str) -> int:
    digits = "".join(sign for sign in text if sign.isdigit())
    return int(digits or 0)


def _imports(facts: Facts) -> Iterator[Trap]:
    """torch, the model classes of transformers, MeCab: what a child process could not import."""
    for name, what in (("torch", "torch"), ("transformers", "a model of transformers"), ("mecab", "MeCab")):
        error = facts["probes"][name].get("error")
        if error is None:
            continue
        if name != "torch" and "error" in facts["probes"]["torch"]:
            continue  # follows from it
        culprit = facts["probes"][name].get("culprit")
        beside = facts["beside"].get(culprit)
        if name == "transformers" and culprit is not None and culprit not in facts["packages"]:
            version = f"{culprit} {beside}" if beside else culprit
            yield Trap(
                f"broken-{culprit}",
                f"{what} cannot be imported, because {version} fails beside this torch ({error})",
                f"pip uninstall {culprit} (tane does not need it), or install the build made for this torch",
                stops=True,
            )
            continue
        package = {"mecab": "fugashi ipadic"}.get(name, name)
        remedy = f"pip install --force-reinstall --no-deps {package}"
        yield Trap(f"broken-{name}", f"{what} cannot be imported: {error}", remedy, stops=name != "mecab")
    numpy = facts["probes"]["torch"].get("numpy")
    if numpy:
        found = f"torch and numpy do not work together ({numpy})"
        yield Trap("torch-and-numpy", found, "pip install --upgrade numpy", stops=True)


def _companions(facts: Facts) -> Iterator[Trap]:
    """torchvision and torchaudio made for another torch: imported with every model class."""
    for name, wanted in facts["companions"].items():
        if "error" not in facts["probes"]["transformers"]:
            torch = facts["packages"]["torch"]["installed"]
            yield Trap(
                "other-torch",
                f"{name} {facts['beside'][name]} wants {wanted}, and torch is {torch}: transformers "
                "imports it with every model",
                f"pip uninstall {name} (tane does not need it), or install the one made for this torch",
            )
    if facts["beside"].get("tensorflow"):
        yield Trap(
            "tensorflow",
            "TensorFlow is installed, and TensorBoard's writer imports it when a training starts: slow",
            "--train.tensorboard false, or an environment without TensorFlow",
        )


def _graphics(facts: Facts) -> Iterator[Trap]:
    torch, cards = facts["probes"]["torch"], facts["cards"]
    if "error" in torch:
        return
    version = torch["version"].split("+")[0]
    hidden = facts["environment"].get("CUDA_VISIBLE_DEVICES")
    if cards and torch["cuda"] is None:
        yield Trap(
            "unused-gpu",
            f"there is a GPU ({cards[0]['name']}), and torch is built without CUDA",
            f"pip install --force-reinstall torch=={version}",
        )
    elif cards and not torch["devices"] and hidden in ("", "-1"):
        yield Trap(
            "hidden-gpu",
            f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides the GPU from torch",
            "unset CUDA_VISIBLE_DEVICES",
        )
    elif cards and not torch["devices"]:
        told = next((w for w in torch["warnings"] if "driver" in w or "CUDA" in w), "it gives no reason")
        yield Trap(
            "old-driver",
            f"torch with CUDA {torch['cuda']} cannot use the GPU under driver {cards[0]['driver']} ({told})",
            "update NVIDIA's driver, or install a torch for an older CUDA (pytorch.org tells the line)",
        )
    elif torch["cuda"] and not cards and not torch["devices"]:
        found = f"torch is built with CUDA {torch['cuda']}, and there is no GPU: it takes some GB of the disk"
        yield Trap("cuda-without-gpu", found, f"pip install torch=={version} {CPU_WHEELS}")
    elif torch["devices"] and torch["kernels"] and not _has_kernels(torch):
        major, minor = torch["capability"]
        found = f"this torch has no kernels for {torch['devices'][0]} (capability {major}.{minor})"
        yield Trap(
            "no-kernels",
            f"{found}, only for {', '.join(torch['kernels'])}",
            "install a torch made for it (pytorch.org tells the line), or --train.device cpu",
        )
    for card in cards:
        if card["memory"] and card["used"] is not None and card["used"] > 0.8 * card["memory"]:
            found = f"{card['name']}: {size(card['used'])} of {size(card['memory'])} are taken"
            yield Trap("busy-gpu", found, "see who takes them: nvidia-smi")


def _has_kernels(torch: Facts) -> bool:
    """Binaries run on the same major version from their minor one on, intermediate code on anything newer."""
    major, minor = torch["capability"]
    for name in torch["kernels"]:
        kind, _, number = name.partition("_")
        if not (digits := "".join(sign for sign in number if sign.isdigit())):
            continue
        have = int(digits[:-1] or 0), int(digits[-1])
        if have == (major, minor) or (kind == "sm" and have[0] == major and have[1] <= minor):
            return True
        if kind == "compute" and have <= (major, minor):
            return True
    return False


# ------------------------------------------------------------------------------------------ cores and memory


def _threads(facts: Facts) -> Iterator[Trap]:
    cores, environment = facts["cores"], facts["environment"]
    usable, asked = cores["usable"], environment.get("OMP_NUM_THREADS")
    threads = facts["probes"]["torch"].get("threads")
    if threads is None:
        threads = int(asked) if asked and asked.isdigit() else cores["affinity"]
    if threads > usable:
        source = f"OMP_NUM_THREADS is {asked}" if asked else "OMP_NUM_THREADS is unset"
        machine = f" of the machine's {cores['machine']}" if cores["machine"] > usable else ""
        found = f"torch starts {threads} threads ({source}), and {usable}{machine} cores are ours"
        remedy = f"export OMP_NUM_THREADS={usable}"
        yield Trap("too-many-threads", f"{found}: they wait for one another", remedy)
    elif asked and threads < usable:
        yield Trap(
            "few-threads",
            f"OMP_NUM_THREADS is {asked}, and {usable} cores are ours",
            "unset OMP_NUM_THREADS, unless other work has the other cores",
        )
    spinning = {
        "OMP_WAIT_POLICY": ("active",),
        "GOMP_SPINCOUNT": ("infinite", "infinity"),
        "KMP_BLOCKTIME": ("infinite",),
    }
    for name, values in spinning.items():
        if environment.get(name, "").strip().lower() in values:
            found = f"{name} is {environment[name]}: threads that wait take whole cores from those that work"
            yield Trap("spinning-threads", found, f"unset {name}")


def _memory(facts: Facts) -> Iterator[Trap]:
    free = facts["memory"]["available"]
    if free is not None and free < LITTLE_MEMORY:
        yield Trap(
            "little-memory",
            f"{size(free)} of memory are free",
            "end other programs, or lower --train.micro-batch-tokens",
        )


# --------------------------------------------------------------------------------------------------- folders

REMEDIES = {
    "here": "cd to a folder that you may write, or give --run-dir and --data-dir there",
    "temporary": "export TMPDIR=DIR, a folder that you may write",
    "hub cache": "export HF_HOME=DIR, a folder that you may write",
}


def _folders(facts: Facts) -> Iterator[Trap]:
    for what, place in facts["places"].items():
        stops = what == "here"
        name = what.replace(" ", "-")
        told = f"{place['path']} ({what})" if place["path"] else what
        if place["lacks"] is not None and place["lacks"] != resources.LACKS[errno.ENOSPC]:
            found = f"{told}: a run could not write there: {place['lacks']}"
            yield Trap(f"unwritable-{name}", found, REMEDIES[what], stops=stops or not place["path"])
        elif place["lacks"] is not None or place["free"] < FULL:
            yield Trap(
                f"full-{name}",
                f"{told}: the disk is full, {size(place.get('free', 0))} are free",
                f"free some space; or {REMEDIES[what]}",
                stops=stops,
            )
        elif place["free"] < SCARCE:
            yield Trap(
                f"scarce-{name}",
                f"{told}: {size(place['free'])} are free on the disk",
                "tane plan RECIPE tells how much a run needs",
            )
    here = facts["places"]["here"]
    if here.get("kind") in NETWORK:
        found = f"{here['path']} lies on a network file system ({here['kind']})"
        yield Trap(
            "network-folder",
            f"{found}, where a lock may not hold against other machines",
            "give --run-dir and --data-dir on a local disk, or never start two runs of one folder at once",
        )


def _clock(facts: Facts) -> Iterator[Trap]:
    if abs(facts["places"]["here"].get("ahead", 0.0)) > CLOCK:
        ahead = facts["places"]["here"]["ahead"]
        which = "ahead of" if ahead > 0 else "behind"
        yield Trap(
            "other-clock",
            f"the clock of the disk is {abs(ahead):.0f} s {which} this machine's",
            "let both follow a time server",
        )
    if facts["clock"]["behind"] > CLOCK:
        found = f"the clock is {facts['clock']['behind'] / 3600:,.1f} h behind the newest file of tane"
        yield Trap(
            "clock-behind",
            f"{found}: downloads may be refused, and logs are out of order",
            "set the clock, or let it follow a time server",
        )


# --------------------------------------------------------------------------------------------------- settings


def _environment(facts: Facts) -> Iterator[Trap]:
    system, environment = facts["system"], facts["environment"]
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        if environment.get(name, "").lower() in ("1", "true", "yes", "on"):
            yield Trap(
                "offline",
                f"{name} is set: models and data sets of the hub come from the cache alone",
                f"unset {name} to download",
            )
    if environment.get("TRANSFORMERS_CACHE"):
        yield Trap(
            "old-variable",
            "TRANSFORMERS_CACHE is set, which transformers 5 does not read",
            f"export HF_HUB_CACHE={environment['TRANSFORMERS_CACHE']}",
        )
    if not system["prints"]:
        yield Trap(
            "encoding",
            f"what is printed goes out as {system['encoding']}, which has no Japanese",
            "export PYTHONUTF8=1 (and unset PYTHONIOENCODING)",
        )
    if system["handles"] is not None and system["handles"] < FEW_HANDLES:
        yield Trap("few-handles", f"a process may open {system['handles']} files at once", "ulimit -n 4096")
    if system["bits"] < 64:
        yield Trap(
            "32-bit",
            "this Python has 32 bits, and there is no torch for it",
            "install a Python of 64 bits",
            stops=True,
        )
    if not system["bytecode"]:
        what = " (PYTHONDONTWRITEBYTECODE is set)" if "PYTHONDONTWRITEBYTECODE" in environment else ""
        found = f"the libraries are compiled anew at each start{what}, which takes twice the time"
        remedy = "python -m compileall -q $(python -c 'import site; print(*site.getsitepackages())')"
        yield Trap("no-bytecode", found, remedy)
    try:
        ranks.of_environment(environment)
    except InputError as error:
        remedy = "unset WORLD_SIZE, or let torchrun set it with all that goes with it"
        yield Trap("world-size", error.message, remedy, stops=True)


CHECKS: tuple[Callable[[Facts], Iterator[Trap]], ...] = (
    _packages,
    _imports,
    _companions,
    _graphics,
    _threads,
    _memory,
    _folders,
    _clock,
    _environment,
)


def find_traps(facts: Facts) -> list[Trap]:
    """Every trap that the facts show, those that make training impossible first."""
    return sorted((trap for check in CHECKS for trap in check(facts)), key=lambda trap: not trap.stops)
