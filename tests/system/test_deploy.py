"""The examples of deploy/: each is parsed, its commands are known to the command line, its versions are those
pinned. The SLURM script is run with stand-ins for SLURM's commands and for tane."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed import run as torchrun

from tane import cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TORCH = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def understood(command: list[str]) -> str:
    """The verb of a command `tane VERB ...`; fails where the command line does not know one of its words."""
    assert command[0] == "tane"
    return next(name for name, verb in cli.VERBS.items() if verb is cli.parse(command[1:])[0])


# ------------------------------------------------------------------------------------------------- SLURM

SCRIPT = DEPLOY / "slurm.sh"
STAND_INS = {
    "sbatch": 'echo "$@" >> "$LOG"; wc -l < "$LOG"',
    "scontrol": '[ "$1" = show ] && printf "node1\\nnode2\\n" || echo scontrol "$@" >> "$LOG"',
    "squeue": 'echo "${STATE:-RUNNING}"',
    "srun": 'shift; SLURM_PROCID=3 SLURM_LOCALID=1 exec "$@"',
    "tane": "place=$RANK/$WORLD_SIZE\nlocal=$LOCAL_RANK/$LOCAL_WORLD_SIZE\n"
    'echo "$place $local $MASTER_ADDR:$MASTER_PORT tane $*" >> "$LOG"\nexit ${CODE:-0}',
}


@pytest.fixture
def slurm(tmp_path: Path) -> Any:
    """Run the script in a job of two nodes; gives (exit code, lines that the stand-ins wrote)."""
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def run(*arguments: str, **environment: str) -> tuple[int, list[str]]:
        log = tmp_path / "log"
        log.write_text("")
        job = {
            "SLURM_JOB_ID": "41", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NTASKS": "4",
            "SLURM_NTASKS_PER_NODE": "2", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "5",
        }  # fmt: skip
        path = f"{tmp_path}:{os.environ['PATH']}"
        unset = dict.fromkeys(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "")
        unset |= {"MASTER_ADDR": "", "MASTER_PORT": ""}
        values = {**os.environ, **unset, **job, **environment, "PATH": path, "LOG": str(log)}
        done = subprocess.run(["bash", str(SCRIPT), *arguments], env=values, capture_output=True, text=True)
        return done.returncode, log.read_text().splitlines()

    return run


def test_the_slurm_script_has_its_directives() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    text = SCRIPT.read_text(encoding="utf-8")
    head, _, body = text.partition("set -euo pipefail")
    directives = re.findall(r"^#SBATCH (--[a-z-]+)(?:=(\S+))?$", head, re.MULTILINE)
    found = {name: value for name, value in directives}
    assert found["--signal"] == "TERM@120" and found["--open-mode"] == "append" and "--requeue" in found
    assert "#SBATCH" not in body  # sbatch would not read it there


def test_slurm_jobs_form_a_chain(slurm: Any) -> None:
    code, lines = slurm("submit", "r.yaml", "--seed", "7", NODES="2", GPUS="4", PARTS="6")
    assert code == 0
    jobs = [line.split() for line in lines]
    stages = [job[job.index(str(SCRIPT)) + 1] for job in jobs]
    assert stages == ["part", "join", "part", "prepare", "train"]
    assert all(job[-3:] == ["r.yaml", "--seed", "7"] for job in jobs)
    assert ["--array=1-6" in job for job in jobs] == [True, False, True, False, False]
    after = [next((w for w in job if w.startswith("--dependency")), "") for job in jobs]
    assert after == ["", *(f"--dependency=afterok:{n}" for n in (1, 2, 3, 4))]
    assert {"--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4"} < set(jobs[-1])
    assert slurm("submit-train", "r.yaml")[1][0].endswith(" train r.yaml")


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("part", "tane prepare r.yaml --seed 7 --part 2/5"),
        ("join", "tane prepare r.yaml --seed 7 --join"),
        ("prepare", "tane prepare r.yaml --seed 7"),
        ("train", "tane train r.yaml --seed 7"),
    ],
)
def test_a_slurm_job_runs_tane(slurm: Any, stage: str, command: str) -> None:
    code, lines = slurm(stage, "r.yaml", "--seed", "7")
    assert code == 0
    place, _, said = lines[-1].partition(" tane ")
    assert f"tane {said}" == command
    understood(shlex.split(command))
    assert place == ("3/4 1/2 node1:20041" if stage == "train" else "/ / :")


def test_a_slurm_job_that_was_stopped_goes_back_into_the_queue(slurm: Any) -> None:
    assert slurm("train", "r.yaml", CODE="75")[1][-1] == "scontrol requeue 41"
    for environment in ({"CODE": "75", "STATE": "COMPLETING"}, {"CODE": "2"}):  # cancelled; a faulty recipe
        code, lines = slurm("train", "r.yaml", **environment)
        assert code == int(environment["CODE"]) and "requeue" not in lines[-1]


# -------------------------------------------------------------------------------------------- Kubernetes


def test_the_manifest_is_a_train_job_and_its_runtime() -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    runtime, job = yaml.safe_load_all(text)
    assert "Kubeflow Trainer 2.3" in text.splitlines()[0]
    assert {d["apiVersion"] for d in (runtime, job)} == {"trainer.kubeflow.org/v1alpha1"}
    assert (runtime["kind"], job["kind"]) == ("TrainingRuntime", "TrainJob")
    assert job["spec"]["runtimeRef"] == {"kind": runtime["kind"], "name": runtime["metadata"]["name"]}
    assert set(job["spec"]) == {"runtimeRef", "trainer"}
    trainer = job["spec"]["trainer"]
    fields = {"image", "command", "args", "env", "numNodes", "resourcesPerNode", "numProcPerNode"}
    assert set(trainer) <= fields and trainer["numNodes"] == 2
    assert trainer["numProcPerNode"] == trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"]
    [node] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    step = node["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"]
    assert (node["name"], step) == ("node", "trainer")
    assert runtime["spec"]["mlPolicy"]["torch"] == {}


def test_a_pod_that_ends_starts_all_of_them_anew_and_has_time_to_save() -> None:
    runtime, job = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    template = runtime["spec"]["template"]["spec"]
    one = template["replicatedJobs"][0]["template"]["spec"]
    assert template["failurePolicy"]["maxRestarts"] > 0 and one["backoffLimit"] == 0
    pod = one["template"]["spec"]
    arguments = torchrun.parse_args([*job["spec"]["trainer"]["command"][1:], "--quiet"])
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] > arguments.shutdown_timeout
    [container] = pod["containers"]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert container["image"] == f"tane:{TORCH and TORCH[1]}-cu130"


def test_the_command_of_the_manifest_is_known() -> None:
    _, job = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    trainer = job["spec"]["trainer"]
    assert trainer["command"][0] == "torchrun"
    arguments = torchrun.parse_args([*trainer["command"][1:], *trainer["args"]])
    assert arguments.module and arguments.training_script == "tane"
    assert understood(["tane", *arguments.training_script_args]) == "train"


# ------------------------------------------------------------------------------------------------ Docker


def instructions() -> list[tuple[str, str]]:
    """(name, argument) of each instruction of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_is_built_from_files_that_are_there() -> None:
    found = instructions()
    known = {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT"}
    assert found[0] == ("FROM", "python:3.11-slim") and {name for name, _ in found} <= known
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for name, rest in found:
        if name == "COPY":
            assert all((ROOT / source).exists() and f"!{source}" in sent for source in shlex.split(rest)[:-1])
        if name == "RUN":
            subprocess.run(["bash", "-n", "-c", rest], check=True)


def test_the_image_installs_the_pinned_torch_alone_and_first() -> None:
    found = instructions()
    assert dict(a.split("=") for name, a in found if name == "ARG") == {"TORCH": "cpu", "EXTRAS": "lora"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "lora" in project["optional-dependencies"]
    first, second = (shlex.split(rest) for name, rest in found if name == "RUN" and rest.startswith("pip"))
    assert first[:4] == ["pip", "install", "--no-cache-dir", "--index-url"]
    assert first[4] == "https://download.pytorch.org/whl/$TORCH" and len(first) == 6
    pinned = subprocess.run(
        ["bash", "-c", f'printf %s "{first[5]}"'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert TORCH and pinned.stdout == f"torch=={TORCH[1]}"
    assert second[2:] == ["--no-cache-dir", "-c", "constraints.txt", ".[$EXTRAS]"]


def test_the_image_runs_tane_without_being_root() -> None:
    found = instructions()
    user = next(place for place, (name, _) in enumerate(found) if name == "USER")
    assert found[user][1] != "root" and f"--create-home {found[user][1]}" in found[user - 1][1]
    assert found[-1][0] == "ENTRYPOINT" and json.loads(found[-1][1]) == ["tane"]


# -------------------------------------------------------------------------------------------------- pages


def test_both_pages_show_the_same_commands() -> None:
    def code(name: str) -> list[str]:
        return sorted(set(re.findall(r"`([^`]+)`", (DEPLOY / name).read_text(encoding="utf-8"))))

    commands = code("README.md")
    assert commands == code("README.ja.md")
    for command in commands:
        if command.startswith("tane ") and "RECIPE" in command:
            understood(shlex.split(command.replace("i/n", "1/2")))
    [by_hand] = [c for c in commands if c.startswith("torchrun ")]
    arguments = torchrun.parse_args(shlex.split(by_hand)[1:])
    assert understood(["tane", *arguments.training_script_args]) == "train"
