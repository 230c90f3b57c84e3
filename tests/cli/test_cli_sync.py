import sys
from pathlib import Path

import pytest
from cli.support import Cli, Writer


def test_dry_run_sends_nothing(cli: Cli, writer: Writer) -> None:
    pytest.importorskip("wandb")
    model = writer.artifact("model", b"weights")
    writer.run("only-run", makes=(model,))
    result = cli("sync", "--to", "wandb", "latest", "--dry-run")
    assert result.code == 0
    assert "would send only-run to wandb" in result.out
    report = cli("sync", "--to", "wandb", "latest", "--dry-run", "--json").json
    assert (report["run_id"], report["mirror"], report["artifacts"]) == ("only-run", "wandb", 1)


def test_offline_sync_then_nothing_left_to_send(cli: Cli, writer: Writer, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    writer.run("only-run")
    env = {"INSTRUMENT_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    first = cli("sync", "--to", "wandb", "only", "--json", env=env)
    assert first.code == 0, first.err
    assert first.json["complete"] is True
    env = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    again = cli("sync", "--to", "wandb", "only", env=env)
    assert again.code == 0
    assert "nothing to send: written offline to" in again.out
    assert "wandb has" not in again.out


def test_a_running_run_is_not_synced(cli: Cli) -> None:
    pytest.importorskip("wandb")
    command = [sys.executable, "-m", "instrument", "sync", "--to", "wandb", "latest"]
    done = cli("run", "--", *command)
    assert done.code == 2
    assert "still running" in done.err
