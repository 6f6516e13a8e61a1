"""`tane doctor`: each known trap is planted, and seen; a machine without any is told to be sound."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import resource
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import tane
from tane import cli, errors, hardware
from tane.use import doctor, machine, traps

GB = 10**9
TORCH: dict[str, Any] = {
    "version": "2.13.0+cpu", "seconds": 1.2, "cuda": None, "threads": 2, "kernels": [], "devices": [],
    "capability": None, "bf16": True, "mps": False, "numpy": None, "warnings": [], "device": "cpu",
    "precision": "bf16",
}  # fmt: skip
ON_GPU = {
    "version": "2.13.0", "cuda": "13.0", "devices": ["H200"], "capability": [9, 0], "device": "cuda",
    "kernels": ["sm_80", "sm_90", "compute_90"],
}  # fmt: skip
IDLE, TAKEN = "NVIDIA H200, 143771, 4, 580.65, 9.0", "NVIDIA H200, 143771, 140000, 580.65, 9.0"


class Place:
    """A machine of which every part can be replaced; sound to begin with."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch, self.folder = patch, folder
        self.probes: dict[str, dict[str, Any]] = {
            "torch": dict(TORCH),
            "transformers": {"version": "5.23.0", "seconds": 3.0},
            "mecab": {"words": []},
        }
        for name in machine.VARIABLES:
            patch.delenv(name, raising=False)
        self.proc("self/cgroup", "0::/box\n")
        self.proc("meminfo", "MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable: 12000000 kB\n")
        self.proc("mounts", "/dev/sda / ext4 rw 0 0\nproc /proc proc rw 0 0\n")
        patch.setattr(hardware, "PROC", folder / "proc")
        patch.setattr(hardware, "CGROUP", folder / "cgroup")
        self.space(500 * GB)
        patch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
        patch.setattr(os, "cpu_count", lambda: 8)
        patch.setattr(doctor, "ask", lambda name, limit: self.probes[name])
        patch.setenv("PATH", str(folder / "bin"))
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.setattr(machine, "bytecode", lambda: True)
        (folder / "work").mkdir()
        patch.chdir(folder / "work")

    def proc(self, name: str, text: str) -> None:
        """What a file of /proc says."""
        path = self.folder / "proc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def group(self, name: str, text: str) -> None:
        """What a file of the control groups says."""
        path = self.folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def space(self, free: int) -> None:
        """So much is free on every disk."""
        usage = SimpleNamespace(total=1000 * GB, used=1000 * GB - free, free=free)
        self.patch.setattr(shutil, "disk_usage", lambda path: usage)

    def package(self, name: str, version: str, code: str = "", *needs: str) -> None:
        """A package that is found before all others."""
        site = self.folder / "site-packages"
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(code, encoding="utf-8")
        (site / f"{name}-{version}.dist-info").mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
        (site / f"{name}-{version}.dist-info" / "METADATA").write_text(
            "\n".join(lines) + "\n", encoding="utf-8"
        )
        self.patch.syspath_prepend(str(site))

    def card(self, line: str) -> None:
        """An nvidia-smi that answers this line."""
        path = self.folder / "bin" / "nvidia-smi"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{line}'\n", encoding="utf-8")
        path.chmod(0o755)

    def torch(self, **values: Any) -> None:
        """What torch says in its child process."""
        self.probes["torch"] |= values


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    return Place(monkeypatch, tmp_path)


def found(result: Any) -> dict[str, dict[str, Any]]:
    return {trap["name"]: trap for trap in result.metrics["traps"]}


def fails(number: int) -> Callable[..., Any]:
    def call(*args: object, **settings: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_a_sound_machine(place: Place) -> None:
    result = tane.doctor()
    assert result.metrics["ok"] and result.metrics["traps"] == []
    told = doctor.report(result.metrics)
    assert told.endswith("nothing stands in the way") and "2 of 8" in told and "ext4" in told
    assert json.dumps(result.json(), allow_nan=False)
    assert list(Path.cwd().iterdir()) == [] and not (place.folder / "hub").exists()


class Plant(NamedTuple):
    """A trap that is planted: how, and a word of what is found and of the remedy."""

    name: str
    how: Callable[[Place], object]
    told: str
    remedy: str


def env(name: str, value: str) -> Callable[[Place], object]:
    return lambda place: place.patch.setenv(name, value)


def patched(owner: Any, name: str, value: object) -> Callable[[Place], object]:
    return lambda place: place.patch.setattr(owner, name, value)


def broken(name: str, error: str, culprit: str | None = None) -> Callable[[Place], object]:
    return lambda place: place.probes.update({name: {"error": error, "culprit": culprit}})


def chdir_nowhere(place: Place) -> None:
    place.patch.chdir("/proc")


def deleted_folder(place: Place) -> None:
    Path.cwd().rmdir()


def no_temporary_folder(place: Place) -> None:
    def gettempdir() -> str:
        raise FileNotFoundError(errno.ENOENT, "no usable temporary directory")

    place.patch.setattr(machine.tempfile, "gettempdir", gettempdir)


def few_handles(place: Place) -> None:
    place.patch.setattr(resource, "getrlimit", lambda kind: (128, 128))


def future_files(place: Place) -> None:
    path = place.folder / "__init__.py"
    path.touch()
    os.utime(path, (4e9, 4e9))
    place.patch.setattr(machine, "__file__", str(place.folder / "use" / "machine.py"))


def other_pyproject(place: Place) -> None:
    text = '[project]\nname = "tane"\ndependencies = ["no-such-thing>=1"]\noptional-dependencies = {}\n'
    (place.folder / "pyproject.toml").write_text(text, encoding="utf-8")
    place.patch.setattr(machine, "SOURCE", place.folder)


def no_metadata(place: Place) -> None:
    place.patch.setattr(machine, "requirements", lambda: ([], {}))


def ascii_only(place: Place) -> None:
    place.patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))


def old_driver(place: Place) -> None:
    place.card(IDLE)
    place.torch(cuda="13.0", warnings=["The NVIDIA driver on your system is too old (found version 11040)."])


def on_gpu(place: Place, line: str = IDLE, **values: Any) -> None:
    place.card(line)
    place.torch(**{**ON_GPU, **values})


PLANTS = [
    Plant("world-size", env("WORLD_SIZE", "4"), "WORLD_SIZE asks for 4 processes", "unset WORLD_SIZE"),
    Plant("world-size", env("WORLD_SIZE", "many"), "WORLD_SIZE is 'many'", "unset WORLD_SIZE"),
    Plant("offline", env("HF_HUB_OFFLINE", "1"), "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"),
    Plant("offline", env("TRANSFORMERS_OFFLINE", "true"), "TRANSFORMERS_OFFLINE", "unset"),
    Plant("old-variable", env("TRANSFORMERS_CACHE", "/big"), "TRANSFORMERS_CACHE", "HF_HUB_CACHE=/big"),
    Plant("spinning-threads", env("OMP_WAIT_POLICY", "ACTIVE"), "OMP_WAIT_POLICY", "unset OMP_WAIT_POLICY"),
    Plant("spinning-threads", env("GOMP_SPINCOUNT", "infinite"), "GOMP_SPINCOUNT", "unset"),
    Plant("too-many-threads", lambda p: p.group("box/cpu.max", "100000 100000"), "unset", "NUM_THREADS=1"),
    Plant("too-many-threads", lambda p: (env("OMP_NUM_THREADS", "16")(p), p.torch(threads=16)),
          "OMP_NUM_THREADS is 16", "NUM_THREADS=2"),
    Plant("few-threads", lambda p: (env("OMP_NUM_THREADS", "1")(p), p.torch(threads=1)),
          "2 cores are ours", "unset OMP_NUM_THREADS"),
    Plant("little-memory", lambda p: p.proc("meminfo", "MemTotal: 900000 kB\nMemAvailable: 500000 kB\n"),
          "512 MB of memory", "--train.micro-batch-tokens"),
    Plant("little-memory", lambda p: (p.group("box/memory.max", "600000000"),
                                      p.group("box/memory.current", "200000000"),
                                      p.group("box/memory.stat", "anon 5\ninactive_file 100000000")),
          "500 MB of memory", "--train.micro-batch-tokens"),
    Plant("full-here", lambda p: p.space(10_000_000), "the disk is full, 10 MB", "free some space"),
    Plant("full-here", patched(machine, "_try_out", fails(errno.ENOSPC)), "is full", "free"),
    Plant("full-temporary", lambda p: p.space(10_000_000), "10 MB are free", "TMPDIR"),
    Plant("full-hub-cache", lambda p: p.space(10_000_000), "10 MB are free", "HF_HOME"),
    Plant("scarce-here", lambda p: p.space(GB), "1.0 GB are free", "tane plan"),
    Plant("scarce-temporary", lambda p: p.space(GB), "1.0 GB are free", "tane plan"),
    Plant("scarce-hub-cache", lambda p: p.space(GB), "1.0 GB are free", "tane plan"),
    Plant("unwritable-here", deleted_folder, "the current folder is gone", "cd to a folder"),
    Plant("unwritable-here", chdir_nowhere, "/proc", "--run-dir"),
    Plant("unwritable-here", patched(machine.fcntl, "flock", fails(errno.ENOLCK)),
          "could not write there: no locks", "--run-dir"),
    Plant("unwritable-here", patched(Path, "symlink_to", fails(errno.EPERM)), "right", "--run"),
    Plant("unwritable-here", patched(machine.files, "sync", fails(errno.EROFS)),
          "the file system is read-only", "--run-dir"),
    Plant("unwritable-temporary", env("TMPDIR", "/proc/nowhere"), "/proc/nowhere", "export TMPDIR"),
    Plant("unwritable-temporary", no_temporary_folder, "no folder for temporary files", "export TMPDIR"),
    Plant("unwritable-hub-cache", env("HF_HOME", "/proc/nowhere"), "/proc/nowhere/hub", "export HF_HOME"),
    Plant("network-folder", lambda p: p.proc("mounts", f"/dev/a / ext4 rw\nhost:/ {p.folder}/work nfs4 rw\n"),
          "(nfs4)", "local disk"),
    Plant("other-clock", patched(machine, "_try_out", lambda folder: 3600.0),
          "3600 s ahead of", "time server"),
    Plant("clock-behind", future_files, "behind the newest file of tane", "set the clock"),
    Plant("few-handles", few_handles, "128 files", "ulimit -n"),
    Plant("encoding", ascii_only, "as ascii", "PYTHONUTF8=1"),
    Plant("32-bit", patched(struct, "calcsize", lambda form: 4), "32 bits", "64 bits"),
    Plant("no-bytecode", patched(machine, "bytecode", lambda: False), "twice", "compileall"),
    Plant("missing-packages", other_pyproject, "not installed: no-such-thing", "make setup"),
    Plant("unknown-packages", no_metadata, "tane is not installed", "make setup"),
    Plant("other-version", lambda p: p.package("transformers", "5.2.9"), "below 5.3", "transformers>=5.17"),
    Plant("other-version", lambda p: p.package("torch", "2.14.0"), "torch 2.14.0", "torch>=2.11"),
    Plant("other-torch", lambda p: p.package("torchvision", "0.20.0", "", "numpy", "torch==2.5.0"),
          "torchvision 0.20.0 wants torch==2.5.0", "pip uninstall torchvision"),
    Plant("other-torch", lambda p: p.package("torchaudio", "2.5.0", "", "torch (==2.5.0)"),
          "torchaudio 2.5.0 wants torch==2.5.0", "pip uninstall torchaudio"),
    Plant("tensorflow", lambda p: p.package("tensorflow", "2.20.0"), "TensorBoard", "--train.tensorboard"),
    Plant("torch-and-numpy", lambda p: p.torch(numpy="RuntimeError: Numpy is not available"), "numpy", "pip"),
    Plant("broken-torch", broken("torch", "OSError: libc10.so"),
          "torch cannot be imported: OSError: libc10.so", "force-reinstall"),
    Plant("broken-transformers", broken("transformers", "KeyError: x"),
          "KeyError: x", "force-reinstall"),
    Plant("broken-mecab", broken("mecab", "RuntimeError: no dicrc", "fugashi"),
          "no dicrc", "fugashi ipadic"),
    Plant("broken-torchvision", broken("transformers", "RuntimeError: torchvision::nms", "torchvision"),
          "torchvision::nms", "pip uninstall torchvision"),
    Plant("unused-gpu", lambda p: p.card(IDLE), "NVIDIA H200", "pip install --force-reinstall torch==2.13.0"),
    Plant("hidden-gpu", lambda p: (on_gpu(p, devices=[], device="cpu"), env("CUDA_VISIBLE_DEVICES", "")(p)),
          "hides the GPU", "unset CUDA_VISIBLE_DEVICES"),
    Plant("old-driver", old_driver, "too old (found version 11040)", "update NVIDIA's driver"),
    Plant("cuda-without-gpu", lambda p: p.torch(cuda="13.0"), "there is no GPU", "whl/cpu"),
    Plant("no-kernels", lambda p: on_gpu(p, kernels=["sm_100", "compute_120"]), "no kernels for H200",
          "pytorch.org"),
    Plant("busy-gpu", lambda p: on_gpu(p, TAKEN), "146.8 GB of 150.8 GB", "nvidia-smi"),
]  # fmt: skip
STOPS = {
    "world-size", "full-here", "unwritable-here", "32-bit", "missing-packages", "torch-and-numpy",
    "broken-torch", "broken-transformers", "broken-torchvision",
}  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.name}: {plant.told}")
def test_each_trap_is_found_and_has_a_remedy(place: Place, plant: Plant) -> None:
    plant.how(place)
    result = tane.doctor()
    trap = found(result)[plant.name]
    assert plant.told in trap["found"] and plant.remedy in trap["remedy"]
    assert trap["stops"] == (plant.name in STOPS) or "no folder for temporary" in trap["found"]
    assert result.metrics["ok"] == (not any(trap["stops"] for trap in found(result).values()))
    told = doctor.report(result.metrics)
    assert trap["remedy"].encode("ascii", "backslashreplace").decode() in told
    if not result.metrics["ok"]:
        assert "\nstops: " in told


def test_no_trap_is_without_a_test() -> None:
    source = Path(traps.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'Trap\(\s*f?"([\w-]+)', source))
    planted = {plant.name for plant in PLANTS}
    assert len(names) > 25
    assert [
        n for n in names if not (n in planted or (n[-1] == "-" and any(p.startswith(n) for p in planted)))
    ] == []


def test_a_gpu_that_works_is_no_trap(place: Place) -> None:
    on_gpu(place)
    result = tane.doctor()
    assert result.metrics["traps"] == []
    assert "NVIDIA H200, 150.8 GB, capability 9.0; driver 580.65" in doctor.report(result.metrics)
    place.torch(kernels=["sm_80", "compute_80"])  # intermediate code runs on newer cards
    assert tane.doctor().metrics["traps"] == []


def test_the_limits_of_a_container(place: Place) -> None:
    assert hardware.cores() == {"machine": 8, "affinity": 2, "limit": None, "usable": 2}
    place.patch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    place.group("cpu.max", "max 100000")
    place.group("box/cpu.max", "250000 100000")
    assert hardware.cores() == {"machine": 8, "affinity": 8, "limit": 2.5, "usable": 3}
    place.proc("self/cgroup", "4:memory:/box\n1:cpu,cpuacct:/box/inner\n0::/\n")  # control groups, version 1
    shutil.rmtree(place.folder / "cgroup")
    place.group("cpu/box/cpu.cfs_quota_us", "400000")
    place.group("cpu/box/cpu.cfs_period_us", "100000")
    place.group("cpu/cpu.cfs_quota_us", "-1")
    assert hardware.cores()["limit"] == 4
    place.group("memory/box/memory.limit_in_bytes", "2000000000")
    place.group("memory/box/memory.usage_in_bytes", "500000000")
    place.group("memory/memory.limit_in_bytes", "9223372036854771712")
    assert hardware.memory() == {"total": 16_384_000_000, "available": 1_500_000_000, "limit": 2_000_000_000}


def test_a_user_without_a_home(place: Place) -> None:
    place.patch.delenv("HF_HOME")
    place.patch.setattr(
        os.path, "expanduser", lambda path: path
    )  # as where neither HOME nor the user is known
    assert tane.doctor().metrics["ok"]


def test_compiled_files_are_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    assert not machine.bytecode()


# ---------------------------------------------------------------------------------- what a child process says

BREAKS = {
    "raises": ("raise ImportError('libc10.so: cannot open')", "ImportError: libc10.so: cannot open"),
    "hangs": ("import time\ntime.sleep(60)", "it did not end within 1 s"),
    "dies": ("import os\nos.kill(os.getpid(), 11)", "the process was ended by SIGSEGV"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "leaves": ("import os, sys\nprint('no licence', file=sys.stderr, flush=True)\nos._exit(3)", "no licence"),
    "is another": ("print('hello')", "AttributeError: module 'torch' has no attribute 'cuda'"),
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    def package(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")

    monkeypatch.syspath_prepend(str(tmp_path))
    yield package


@pytest.mark.parametrize("how", BREAKS)
def test_a_torch_that_is_broken_does_not_take_the_doctor_down(
    site: Callable[[str, str], None], how: str
) -> None:
    code, told = BREAKS[how]
    site("torch", code)
    assert doctor.ask("torch", 1.0 if how == "hangs" else 20.0) == {"error": told, "culprit": None}


def test_the_culprit_behind_an_error_of_transformers_is_named(site: Callable[[str, str], None]) -> None:
    site("torchvision", "raise RuntimeError('operator torchvision::nms does not exist')")
    site(
        "transformers",
        "def __getattr__(name):\n    try:\n        import torchvision\n    except RuntimeError as error:\n"
        "        raise ModuleNotFoundError('Could not import module') from error\n",
    )
    told = doctor.ask("transformers", 20.0)
    assert told == {
        "error": "RuntimeError: operator torchvision::nms does not exist",
        "culprit": "torchvision",
    }


@pytest.mark.slow
def test_transformers_hides_a_broken_torchvision_as_the_doctor_expects(place: Place) -> None:
    place.package("torchvision", "0.28.0", "raise RuntimeError('operator torchvision::nms does not exist')")
    place.patch.undo()
    place.patch.syspath_prepend(str(place.folder / "site-packages"))
    assert found(tane.doctor())["broken-torchvision"]["stops"]


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) in (0, errors.ResourceError.code)
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"ok", "facts", "traps"} <= answer.keys()
    probes = answer["facts"]["probes"]
    assert probes["torch"]["threads"] >= 1 and probes["torch"]["precision"] in ("bf16", "fp16", "fp32")
    assert probes["transformers"]["seconds"] > 0 and probes["mecab"]["words"][0] == "すもも"
    assert all(one["fits"] for one in answer["facts"]["packages"].values())


# ------------------------------------------------------------------------------------------ the command line


def test_exit_codes_and_json(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.patch.setenv("HF_HUB_OFFLINE", "1")  # a warning
    assert cli.main(["doctor"]) == 0
    assert "trap: HF_HUB_OFFLINE is set" in capsys.readouterr().out
    place.patch.setenv("WORLD_SIZE", "2")
    assert cli.main(["doctor", "--json"]) == 3
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert not answer["ok"] and answer["code"] == 3 and "training is impossible here" in answer["error"]
    assert [trap["name"] for trap in answer["traps"]] == ["world-size", "offline"]
    assert "-> unset WORLD_SIZE" in told.err
