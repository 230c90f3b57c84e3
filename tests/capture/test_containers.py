"""Containers, schedulers, CI systems and notebooks, from trees and variables as they look there."""

import json
import sys
import types
import uuid
from pathlib import Path
from typing import Any, ClassVar

import pytest

from instrument.capture.ci import ci
from instrument.capture.container import container, ids
from instrument.capture.notebook import notebook
from instrument.capture.parts import NotKnown
from instrument.capture.scheduler import scheduler

HEX = "0123456789abcdef" * 4
POD = "6f1d9f0a-0b1c-4d2e-8f3a-1b2c3d4e5f60"
DIGEST = f"sha256:{HEX}"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def mounts(*sources: str) -> str:
    return "".join(f"900 800 8:1 {source} /etc/x rw - ext4 /dev/sda1 rw\n" for source in sources)


PODMAN = f"""\
engine="podman-4.9.4"
name="trainer"
id="{HEX}"
image="docker.io/library/python@{DIGEST}"
imageid="{HEX[::-1]}"
rootless=1
"""
CASES: list[tuple[dict[str, str], dict[str, str], list[str], str | None]] = [
    ({}, {}, [], None),
    ({"proc/self/cgroup": "0::/user.slice/session-1.scope\n"}, {}, [], None),
    ({".dockerenv": ""}, {}, ["docker"], None),
    ({"proc/self/cgroup": f"0::/system.slice/docker-{HEX}.scope\n"}, {}, ["docker"], HEX),
    ({"proc/self/cgroup": f"4:memory:/docker/{HEX}\n"}, {}, ["docker"], HEX),
    (  # version 2 with a name space of its own: only the mounts tell
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": mounts(f"/var/lib/docker/containers/{HEX}/hostname"),
        },
        {},
        ["docker"],
        HEX,
    ),
    ({"run/.containerenv": PODMAN}, {"container": "podman"}, ["podman"], HEX),
    ({"run/.containerenv": ""}, {"container": "podman"}, ["podman"], None),
    (
        {
            "proc/self/mountinfo": mounts(
                f"/home/me/.local/share/containers/storage/overlay-containers/{HEX}/userdata/hosts"
            )
        },
        {},
        ["podman"],
        HEX,
    ),
    ({"proc/1/cgroup": f"0::/libpod_parent/libpod-{HEX}\n"}, {}, ["podman"], HEX),
    ({".singularity.d/env": ""}, {"APPTAINER_CONTAINER": "/x.sif"}, ["apptainer"], None),
    ({}, {"SINGULARITY_CONTAINER": "/x.sif"}, ["apptainer"], None),
    (
        {"proc/self/cgroup": f"0::/kubepods/besteffort/pod{POD}/{HEX}\n"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        ["kubernetes"],
        HEX,
    ),
    (
        {"proc/self/cgroup": f"0::/kubepods.slice/cri-containerd-{HEX}.scope\n"},
        {},
        ["kubernetes"],
        HEX,
    ),
    ({"proc/self/cgroup": "0::/lxc/box\n"}, {}, ["lxc"], None),
    ({}, {"container": "systemd-nspawn"}, ["systemd-nspawn"], None),
    ({"proc/self/cgroup": "\x00\xff", "proc/self/mountinfo": "x"}, {}, [], None),
]


@pytest.mark.parametrize(("files", "environment", "kinds", "number"), CASES)
def test_kinds_and_ids(
    tmp_path: Path,
    files: dict[str, str],
    environment: dict[str, str],
    kinds: list[str],
    number: str | None,
) -> None:
    root = tree(tmp_path, files)
    found = container(root, environment)
    assert found["kinds"] == kinds
    if not kinds:
        assert found["reasons"] == {}, "there is nothing that could be unknown"
        with pytest.raises(NotKnown, match="nothing points to a container"):
            ids(root, environment)
        return
    assert ids(root, environment)["id"] == number
    assert ("id" in ids(root, environment)["reasons"]) == (number is None)
    missing = [name for name in ("image", "image_id", "image_digest") if found[name] is None]
    assert set(missing) <= set(found["reasons"])


def test_podman_tells_the_image_and_its_digest(tmp_path: Path) -> None:
    root = tree(tmp_path, {"run/.containerenv": PODMAN})
    found = container(root, {})
    assert (found["image_id"], found["image_digest"]) == (HEX[::-1], DIGEST)
    assert found["image"].startswith("docker.io/library/python@")
    assert set(found["reasons"]) == {"built_from"}
    assert ids(root, {})["name"] == "trainer"


def test_apptainer_tells_the_image_and_what_it_was_built_from(tmp_path: Path) -> None:
    number = uuid.uuid4()
    (tmp_path / "images").mkdir()
    head = b"#!/usr/bin/env run-singularity\n\0" + b"SIF_MAGIC\0" + b"01\0" + b"02\0" + number.bytes
    (tmp_path / "images/torch.sif").write_bytes(head + b"\0" * 1000)
    label = {"org.label-schema.usage.singularity.deffile.from": "docker://me:secret@hub/torch:2"}
    root = tree(tmp_path, {".singularity.d/labels.json": json.dumps(label)})
    found = container(root, {"APPTAINER_CONTAINER": "/images/torch.sif"})
    assert found["image"] == "/images/torch.sif"
    assert found["image_id"] == str(number)
    assert found["built_from"].endswith("hub/torch:2")
    assert "secret" not in found["built_from"]
    assert set(found["reasons"]) == {"image_digest"}
    (tmp_path / "images/torch.sif").write_bytes(b"x" * 1000)
    (tmp_path / ".singularity.d/labels.json").write_text("[1]")
    found = container(root, {"APPTAINER_CONTAINER": "/images/torch.sif"})
    assert (found["image_id"], found["built_from"]) == (None, None)


def test_the_pod_of_a_container(tmp_path: Path) -> None:
    account = "var/run/secrets/kubernetes.io/serviceaccount"
    slice_of_pod = f"kubepods-burstable-pod{POD.replace('-', '_')}.slice"
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": f"0::/kubepods.slice/{slice_of_pod}/crio-{HEX}.scope\n",
            f"{account}/namespace": "research\n",
            f"{account}/token": "eyJhbGciOi.secret.secret",
        },
    )
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-0"}
    found = ids(root, environment)
    assert (found["id"], found["pod_uid"], found["reasons"]) == (HEX, POD, {})
    assert (found["pod"], found["namespace"]) == ("train-0", "research")
    assert "secret" not in str(found)


JOBS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({"SLURM_JOB_ID": ""}, {}),
    (
        {
            "SLURM_JOB_ID": "7", "SLURM_JOB_PARTITION": "gpu", "SLURM_JOB_NUM_NODES": "2",
            "SLURM_TASKS_PER_NODE": "4(x2)", "SLURM_MEM_PER_NODE": "64000",
        },
        {
            "slurm": {
                "partition": "gpu", "nodes": 2, "tasks_per_node": "4(x2)",
                "memory_per_node_mib": 64000,
            }
        },
    ),
    (
        {"PBS_JOBID": "1.host", "PBS_QUEUE": "q", "PBS_NP": "8"},
        {"pbs": {"queue": "q", "processors": 8}},
    ),
    (
        {"LSB_JOBID": "5", "LSB_QUEUE": "night", "LSB_DJOB_NUMPROC": "16"},
        {"lsf": {"queue": "night", "processors": 16}},
    ),
    (
        {"SGE_TASK_ID": "undefined", "QUEUE": "all.q", "NSLOTS": "4"},
        {"grid_engine": {"queue": "all.q", "slots": 4}},
    ),
    ({"RAY_JOB_ID": "01000000"}, {"ray": {}}),
    (
        {
            "TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4",
            "GROUP_WORLD_SIZE": "2", "TORCHELASTIC_MAX_RESTARTS": "3", "SLURM_JOB_ID": "7",
        },
        {
            "slurm": {},
            "torchrun": {"processes": 8, "processes_on_node": 4, "groups": 2, "max_restarts": 3},
        },
    ),
    (
        {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_VERSION": "5.0.3"},
        {"open_mpi": {"version": "5.0.3", "processes": 4, "processes_on_node": 2}},
    ),
    (
        {"PMI_SIZE": "4", "MPI_LOCALNRANKS": "4"},
        {"mpich": {"processes": 4, "processes_on_node": 4}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "expected"), JOBS)
def test_schedulers_and_launchers(environment: dict[str, str], expected: dict[str, Any]) -> None:
    assert scheduler(environment) == expected


def test_ids_of_jobs_and_ranks_are_left_to_process_started() -> None:
    slurm = {"SLURM_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "42", "SLURM_PROCID": "43"}
    assert scheduler(slurm) == scheduler({**slurm, "SLURM_JOB_ID": "51", "RANK": "3"})


SYSTEMS: list[tuple[dict[str, str], dict[str, str]]] = [
    (
        {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "me/x", "GITHUB_RUN_ID": "7",
         "GITHUB_SHA": "abc", "GITHUB_TOKEN": "ghs_0123456789abcdefghijABCDEFGHIJ012345"},
        {"system": "github", "repository": "me/x", "run_id": "7", "commit": "abc"},
    ),
    (
        {"GITLAB_CI": "true", "CI_PROJECT_PATH": "g/x", "CI_JOB_ID": "9", "CI_PIPELINE_ID": "3",
         "CI_JOB_IMAGE": "python:3.11"},
        {"system": "gitlab", "repository": "g/x", "run_id": "9", "workflow": "3",
         "image": "python:3.11"},
    ),
    (
        {"JENKINS_URL": "https://me:secretsecret@ci/", "JOB_NAME": "train", "BUILD_NUMBER": "12"},
        {"system": "jenkins", "server": "https://[redacted]@ci/", "job": "train", "run_id": "12"},
    ),
    (
        {"BUILDKITE": "true", "BUILDKITE_PIPELINE_SLUG": "p", "BUILDKITE_JOB_ID": "u"},
        {"system": "buildkite", "workflow": "p", "run_id": "u"},
    ),
    (
        {"TF_BUILD": "True", "BUILD_BUILDID": "4", "BUILD_REASON": "Manual"},
        {"system": "azure", "run_id": "4", "event": "Manual"},
    ),
    (
        {"CIRCLECI": "true", "CIRCLE_BUILD_NUM": "5", "CIRCLE_BRANCH": "main"},
        {"system": "circleci", "run_id": "5", "ref": "main"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "expected"), SYSTEMS)
def test_ci_systems(environment: dict[str, str], expected: dict[str, str]) -> None:
    assert ci(environment) == expected


def test_no_ci() -> None:
    with pytest.raises(NotKnown, match="no variable of a CI system"):
        ci({"GITHUB_RUN_ID": "7", "CI": "true"})


class Shell:
    """IPython's shell as far as it is asked."""

    execution_count = 5
    user_ns: ClassVar[dict[str, Any]] = {}

    @classmethod
    def initialized(cls) -> bool:
        return True

    @classmethod
    def instance(cls) -> "Shell":
        return cls()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> type[Shell]:
    module = types.ModuleType("IPython.core.interactiveshell")
    module.InteractiveShell = Shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.core.interactiveshell", module)
    monkeypatch.setattr(Shell, "user_ns", {})
    monkeypatch.setattr(Shell, "kernel", object(), raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return Shell


CELLS = {"cells": [{"cell_type": kind, "source": "x"} for kind in ("markdown", "code", "code")]}


@pytest.mark.parametrize("by", ["vscode", "jupyter"])
def test_a_notebook(
    by: str, shell: type[Shell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps({**CELLS, "nbformat": 4}))
    if by == "vscode":
        shell.user_ns["__vsc_ipynb_file__"] = str(path)
    else:
        monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert notebook() == {
        "frontend": "jupyter", "name": "train.ipynb", "cell_count": 3, "code_cell_count": 2,
        "executed_count": 5, "reasons": {},
    }  # fmt: skip


@pytest.mark.parametrize("content", [None, "", "{}", '{"cells": 7}'])
def test_a_notebook_that_cannot_be_read(
    content: str | None, shell: type[Shell], tmp_path: Path
) -> None:
    path = tmp_path / "train.ipynb"
    if content is not None:
        path.write_text(content)
    shell.user_ns["__vsc_ipynb_file__"] = str(path)
    found = notebook()
    assert (found["name"], found["cell_count"], found["code_cell_count"]) == (path.name, None, None)
    assert str(path) in found["reasons"]["cell_count"]


@pytest.mark.usefixtures("shell")
def test_a_notebook_whose_name_nobody_tells() -> None:
    found = notebook()
    assert (found["name"], found["cell_count"]) == (None, None)
    assert set(found["reasons"]) == {"name", "cell_count"}


def test_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython.core.interactiveshell", raising=False)
    with pytest.raises(NotKnown, match="IPython"):
        notebook()
