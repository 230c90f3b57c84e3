"""Every Nth state and the best one become checkpoints; counting is per run and function."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from decorators.log import Log

from instrument import ExperimentContext, checkpoint
from instrument.decorators.states import find
from instrument.errors import NotFoundError
from instrument.naming import parse_reference
from instrument.records import CheckpointSaved, Problem
from instrument.vocabulary import RunState

LOSSES = (0.5, 0.3, 0.4, 0.2, 0.9)


def _state(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([value])}


def _saved(log: Log) -> list[tuple[int, bool]]:
    return [(saved.step, saved.best) for saved in log.of(CheckpointSaved)]


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({"save_best": False}, [(0, False), (1, False), (2, False), (3, False), (4, False)]),
        ({"frequency": "step"}, [(0, True), (1, True), (2, False), (3, True), (4, False)]),
        ({"frequency": 2, "save_best": False}, [(1, False), (3, False)]),
        ({"frequency": 5}, [(0, True), (1, True), (3, True), (4, False)]),
        ({"frequency": 9, "mode": "max"}, [(0, True), (4, True)]),
    ],
)
def test_a_function_called_in_a_loop(
    options: dict[str, Any], saved: list[tuple[int, bool]], log: Log
) -> None:
    @checkpoint(**options)
    def epoch(loss: float) -> Any:
        return _state(loss), {"loss": loss}

    with ExperimentContext(monitor_hardware=False) as run:
        for loss in LOSSES:
            assert epoch(loss)[1] == {"loss": loss}
    assert _saved(log) == saved
    assert {ref.partition(":")[0] for ref in log.run().outputs} == {f"checkpoint_model_{run.id}"}
    assert [saved.metrics["loss"] for saved in log.of(CheckpointSaved)] == [
        LOSSES[step] for step, _ in saved
    ]
    best = [saved.ref for saved in log.of(CheckpointSaved) if saved.best]
    if best:
        version = log.store.resolve(parse_reference(f"checkpoint_model_{run.id}:best"))
        assert version.ref == best[-1]
    else:
        with pytest.raises(NotFoundError):
            log.store.resolve(parse_reference(f"checkpoint_model_{run.id}:best"))


def test_a_generator_that_yields_once_an_epoch_is_one_run(log: Log) -> None:
    @checkpoint(frequency=10)
    def train() -> Iterator[Any]:
        for loss in LOSSES:
            yield _state(loss), {"loss": loss}

    assert [metrics["loss"] for _, metrics in train()] == list(LOSSES)
    assert _saved(log) == [(0, True), (1, True), (3, True)]
    assert log.run().state is RunState.COMPLETED


def test_an_async_generator_and_a_coroutine(log: Log) -> None:
    @checkpoint(frequency=10)
    async def train() -> AsyncIterator[Any]:
        for loss in LOSSES:
            yield _state(loss), loss

    @checkpoint
    async def epoch(loss: float) -> Any:
        return _state(loss), loss

    async def main() -> None:
        assert [loss async for _, loss in train()] == list(LOSSES)
        async with ExperimentContext(monitor_hardware=False):
            await epoch(0.5)

    asyncio.run(main())
    assert _saved(log) == [(0, True), (1, True), (3, True), (0, True)]


def test_each_run_and_each_function_counts_for_itself(log: Log) -> None:
    @checkpoint(frequency=2, save_best=False)
    def first(n: int) -> Any:
        return _state(n)

    @checkpoint(frequency=2, save_best=False)
    def second(n: int) -> Any:
        return _state(n)

    for _ in range(2):
        with ExperimentContext(monitor_hardware=False):
            for n in range(3):
                first(n)
                second(n)
    assert _saved(log) == [(1, False)] * 4
    for run in log.runs():
        assert run.outputs == [
            f"checkpoint_model_{run.id}:v1",
            f"checkpoint_model-second_{run.id}:v1",
        ]


def test_nan_is_never_the_best(log: Log) -> None:
    @checkpoint(frequency=100)
    def epoch(n: int, loss: float) -> Any:
        return _state(n), {"loss": loss}

    with ExperimentContext(monitor_hardware=False):
        for n, loss in enumerate((math.nan, 0.5, math.nan, 0.4)):
            epoch(n, loss)
    assert _saved(log) == [(1, True), (3, True)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((_state(1), {"accuracy": 1.0}), "gave no metric 'loss' (it gave: accuracy)"),
        ({"loss": 0.5}, "gave a dict without a model or state dict in it"),
        ("words", "gave no metric 'loss' (it gave: none)"),
    ],
)
def test_what_does_not_fit_is_told_once_and_changes_nothing(
    value: Any, message: str, log: Log
) -> None:
    with ExperimentContext(monitor_hardware=False):
        epoch: Any = checkpoint(lambda: value)
        for _ in range(3):
            assert epoch() is value
    assert [problem for problem in log.of(Problem) if message in problem.message]
    assert len(log.of(Problem)) == len({problem.doing for problem in log.of(Problem)})
    assert log.run().state is RunState.COMPLETED


def test_a_loss_with_gradient_is_a_number_and_gives_no_warning(log: Log) -> None:
    loss = torch.nn.Linear(1, 1)(torch.ones(1)).sum()

    @checkpoint
    def train() -> Iterator[Any]:
        yield _state(1.0), {"loss": loss}
        yield loss, _state(2.0)

    assert [list(each) for each in train()]
    assert loss.requires_grad
    assert [saved.metrics for saved in log.of(CheckpointSaved)] == [{"loss": loss.item()}] * 2
    assert log.of(Problem) == []


def test_a_metric_with_gradient_gives_no_warning(log: Log) -> None:
    loss = torch.ones((), requires_grad=True)
    with ExperimentContext(monitor_hardware=False) as run:
        run.log_metrics({"loss": loss})
        run.log_checkpoint(_state(1.0), metrics={"loss": loss})
    assert log.of(Problem) == []
    assert [saved.metrics for saved in log.of(CheckpointSaved)] == [{"loss": 1.0}]


def test_the_state_can_be_loaded_again(log: Log) -> None:
    module = torch.nn.Linear(3, 2)
    with ExperimentContext(monitor_hardware=False) as run:
        checkpoint(lambda: (module, {"loss": 0.1}))()
        loaded = run.use_artifact(f"checkpoint_model_{run.id}:best").load()
    assert torch.equal(loaded["weight"], module.weight)


def _trained() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(3)).sum().backward()
    optimizer.step()
    return module, optimizer


def _moments(state: Any) -> list[Any]:
    """Of an optimizer with that state, in the order of its own."""
    again = torch.optim.Adam(torch.nn.Linear(3, 2).parameters())
    again.load_state_dict(state)
    parts = again.state_dict()["state"].values()
    return [part["exp_avg"].tolist() + part["exp_avg_sq"].tolist() for part in parts]


def test_training_can_go_on_from_what_was_given_beside_the_model(log: Log) -> None:
    module, optimizer = _trained()
    given: dict[str, Any] = {
        "model": module,
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "loss": 0.1,
        "rng": torch.get_rng_state(),
    }
    with ExperimentContext(monitor_hardware=False) as run:
        assert checkpoint(lambda: given)() is given
        loaded = run.use_artifact(f"checkpoint_model_{run.id}:best").load()
    assert list(loaded) == sorted(given)
    assert (loaded["epoch"], loaded["loss"]) == (3, 0.1)
    assert torch.equal(loaded["rng"], given["rng"])
    torch.nn.Linear(3, 2).load_state_dict(loaded["model"])
    assert _moments(loaded["optimizer"]) == _moments(optimizer.state_dict())
    assert [saved.metrics for saved in log.of(CheckpointSaved)] == [{"epoch": 3.0, "loss": 0.1}]


def test_of_a_tuple_the_optimizer_is_kept_too(log: Log) -> None:
    module, optimizer = _trained()
    with ExperimentContext(monitor_hardware=False) as run:
        checkpoint(lambda: (module, optimizer, {"loss": 0.1}))()
        state, of_optimizer = run.use_artifact(f"checkpoint_model_{run.id}:best").load()
    assert torch.equal(state["weight"], module.weight)
    assert _moments(of_optimizer) == _moments(optimizer.state_dict())
    assert log.of(Problem) == []


def test_where_a_part_cannot_be_kept_the_model_is_and_that_is_told_once(log: Log) -> None:
    module, _ = _trained()
    with ExperimentContext(monitor_hardware=False) as run:

        @checkpoint
        def epoch() -> dict[str, Any]:
            return {"model": module, "loader": object(), "loss": 0.1}

        epoch()
        epoch()
        loaded = run.use_artifact(f"checkpoint_model_{run.id}:best").load()
    assert torch.equal(loaded["weight"], module.weight)
    (problem,) = log.of(Problem)
    assert problem.doing == "keep more of a checkpoint than the model"
    assert "loader is a object" in problem.message


MODULE = torch.nn.Linear(1, 1)
WITH_OPTIMIZER = {"model": MODULE.state_dict(), "optimizer": {}, "epoch": 3}


@pytest.mark.parametrize(
    ("value", "state", "metrics"),
    [
        ((MODULE, {"loss": 0.5}), MODULE, {"loss": 0.5}),
        (({"loss": 0.5}, MODULE), MODULE, {"loss": 0.5}),
        (({"loss": torch.tensor(0.5)}, MODULE), MODULE, {"loss": 0.5}),
        ((MODULE, 0.5), MODULE, {"loss": 0.5}),
        ((MODULE, np.float32(0.5)), MODULE, {"loss": 0.5}),
        ([0.5, MODULE], MODULE, {"loss": 0.5}),
        (MODULE, MODULE, {}),
        ({"model": MODULE, "metrics": {"loss": 0.5}}, MODULE, {"loss": 0.5}),
        ({"model": MODULE, "loss": 0.5, "note": "n"}, MODULE, {"loss": 0.5}),
        (SimpleNamespace(state_dict="s", loss=0.5), "s", {"loss": 0.5}),
        (("custom state", {"loss": 0.5}), "custom state", {"loss": 0.5}),
        ((WITH_OPTIMIZER, {"loss": 0.5}), WITH_OPTIMIZER, {"loss": 0.5}),
        ((MODULE, {"loss": 0.5, "note": "n"}), MODULE, {"loss": 0.5}),
        ((MODULE, None), MODULE, {}),
        ({"loss": 0.5}, None, {"loss": 0.5}),
        (0.5, None, {"loss": 0.5}),
        ((0.5, 0.6), None, {"loss": 0.5}),
        (None, None, {}),
    ],
)
def test_state_and_metrics_are_found(value: Any, state: Any, metrics: dict[str, float]) -> None:
    found = find(value, "loss")
    assert found.state is state
    assert found.metrics == metrics
