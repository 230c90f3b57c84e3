"""A SLURM cluster of one node, on the loopback interface, that lives as long as a test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
START_SECONDS: Final = 60

_CONFIGURATION: Final = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/controller.pid
SlurmdPidFile={home}/node.pid
SlurmctldLogFile={home}/controller.log
SlurmdLogFile={home}/node.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=1
MinJobAge=300
KillWait=3
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000 State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=10 State=UP
"""


def missing() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.getuid() != 0:
        return "a SLURM cluster is started as root only"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"SLURM is not installed ({', '.join(absent)})" if absent else None


class Cluster:
    """A running cluster.

    Args:
        home: Directory of its files.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(home / "slurm.conf"),
            "PATH": _path(),
        }

    def run(self, *command: str, more: Mapping[str, str] | None = None) -> str:
        """What a command of SLURM prints; it must succeed."""
        environment = {**self.environment, **(more or {})}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def submit(self, script: str, *options: str, more: Mapping[str, str] | None = None) -> str:
        """Submit the batch job `script`; its id."""
        path = self.home / f"job-{time.monotonic_ns()}.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        out = f"--output={self.home}/%A_%a.out"
        return self.run("sbatch", "--parsable", out, *options, str(path), more=more).strip()

    def wait(self, job: str, states: tuple[str, ...] = ("COMPLETED",)) -> None:
        """Wait until all tasks of `job` are in one of `states`."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = self.run("scontrol", "--oneliner", "show", "job", job)
            now = [word[9:] for word in found.split() if word.startswith("JobState=")]
            if now and all(state in states for state in now):
                return
            assert time.monotonic() < deadline, f"{found}{self.logs()}{self.output()}"
            time.sleep(0.2)

    def output(self) -> str:
        """What the jobs have printed."""
        return "".join(path.read_text() for path in sorted(self.home.glob("*.out")))

    def logs(self) -> str:
        """What the daemons have logged."""
        return "".join(path.read_text()[-2000:] for path in self.home.glob("*.log"))


@contextmanager
def slurm_cluster(home: Path) -> Iterator[Cluster]:
    """Start a cluster, and stop it."""
    home.chmod(0o755)
    for name in ("state", "spool"):
        (home / name).mkdir()
    values = {"home": home, "host": socket.gethostname().partition(".")[0]}
    ports = {"controller_port": _free_port(), "node_port": _free_port()}
    (home / "slurm.conf").write_text(_CONFIGURATION.format(**values, **ports))
    cluster = Cluster(home)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        key = home / "munge.key"
        cluster.run("mungekey", "--create", f"--keyfile={key}")
        daemons.append(_start(cluster, "munged", "--foreground", "--force",
            f"--key-file={key}", f"--socket={home}/munge.socket", f"--pid-file={home}/munge.pid",
            f"--seed-file={home}/munge.seed", f"--log-file={home}/munge.log"))  # fmt: skip
        _until((home / "munge.socket").exists, cluster)
        daemons.append(_start(cluster, "slurmctld", "-D"))
        daemons.append(_start(cluster, "slurmd", "-D"))
        _until(lambda: "State=IDLE" in _nodes(cluster), cluster)
        yield cluster
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _start(cluster: Cluster, *command: str) -> "subprocess.Popen[bytes]":
    log = (cluster.home / f"{command[0]}-output.log").open("wb")
    with log:
        return subprocess.Popen(
            command, env=cluster.environment, stdout=log, stderr=log, start_new_session=True
        )


def _nodes(cluster: Cluster) -> str:
    done = subprocess.run(
        ["scontrol", "--oneliner", "show", "node"],
        env=cluster.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def _until(reached: Callable[[], bool], cluster: Cluster) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"the cluster does not start: {cluster.logs()}"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
