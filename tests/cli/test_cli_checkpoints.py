"""What ``runs show`` says of checkpoints, and ``--where`` of their metrics."""

from collections.abc import Iterator
from typing import Any

from cli.support import Cli, Writer

import instrument
from instrument import ExperimentContext, checkpoint


def trained(*losses: float, **options: Any) -> str:
    @checkpoint(metric="loss")
    def train() -> Iterator[dict[str, Any]]:
        for epoch, loss in enumerate(losses):
            yield {"model": {"w": epoch}, "metrics": {"loss": loss, "accuracy": 1 - loss}}

    with ExperimentContext(monitor_hardware=False, **options) as run:
        list(train())
    return run.id


def test_show_tells_the_metrics_beside_each_checkpoint(cli: Cli) -> None:
    run_id = trained(0.75, 0.5, 0.625)
    page = cli("runs", "show", "latest").out
    assert f"checkpoint_model_{run_id}:v1  step 0, loss 0.75, accuracy 0.25, best so far\n" in page
    assert f"checkpoint_model_{run_id}:v2  step 1, loss 0.5, accuracy 0.5, best so far\n" in page
    assert f"checkpoint_model_{run_id}:v3  step 2, loss 0.625, accuracy 0.375\n" in page


def test_json_has_every_checkpoint_in_order_also_of_equal_bytes(cli: Cli) -> None:
    with ExperimentContext(monitor_hardware=False) as run:
        for step in (0, 1):
            run.log_checkpoint({"w": 1}, step=step, metrics={"loss": 0.5})
    name = f"checkpoint_model_{run.id}:v1"
    assert cli("runs", "show", run.id, "--json").json["checkpoints"] == [
        {"ref": name, "step": 0, "metrics": {"loss": 0.5}, "best": False},
        {"ref": name, "step": 1, "metrics": {"loss": 0.5}, "best": False},
    ]
    assert instrument.run(run.id).metrics == {}


def test_a_run_without_checkpoints_has_no_column_for_them(cli: Cli, writer: Writer) -> None:
    made = writer.artifact("weights", b"bytes")
    writer.run("aaaa-run", makes=(made,))
    assert "saved with" not in cli("runs", "show", "aaaa-run").out
    assert cli("runs", "show", "aaaa-run", "--json").json["checkpoints"] == []


def test_a_search_by_a_metric_that_only_checkpoints_have_says_so(cli: Cli) -> None:
    trained(0.5)
    where = ("runs", "list", "--where", "metrics.loss < 1")
    assert "no run has metrics.loss; those of a checkpoint count once" in cli(*where).err
    with ExperimentContext(monitor_hardware=False) as run:
        run.log_metrics({"loss": 0.5})
    assert cli(*where, "--json").json[0]["id"] == run.id
