"""T36 and T37: objects and names that would harm whoever looks at them."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, run_values, track_artifacts
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.protocols import Store
from instrument.registry import open_store
from instrument.summary import RunSummary

_NEVER = threading.Event()


def _raises(*_: Any) -> Any:
    raise RuntimeError("hostile")


def _exits(*_: Any) -> Any:
    raise ValueError


def _recurses(*arguments: Any) -> Any:
    return _recurses(*arguments)


def _huge(*_: Any) -> Any:
    return "x" * 2**30


def _blocks(*_: Any) -> Any:
    _NEVER.wait()


METHODS = ("__repr__", "__str__", "__len__", "__eq__", "__hash__", "__bool__", "__format__",
           "__iter__", "__getitem__", "__float__", "__int__", "__index__")  # fmt: skip
CONVERSIONS = ("tolist", "item", "model_dump")


def hostile(how: Callable[..., Any], base: type = object, /, **more: Any) -> Any:
    """An object whose every method is `how`."""
    methods = {name: how for name in METHODS if name != "__hash__" or how is not _huge}
    return type("Hostile", (base,), {**methods, **more})()


def properties(how: Callable[..., Any]) -> Any:
    """An object that behaves so when its attributes are read."""
    return type("Hostile", (), {"__getattr__": how, "__class__": property(how)})()


HOSTILE = {
    "raises": lambda: hostile(_raises),
    "recurses": lambda: hostile(_recurses),
    "is huge": lambda: hostile(_huge),
    "blocks": lambda: hostile(_blocks),
    "attributes raise": lambda: properties(_raises),
    "a list that raises": lambda: hostile(_raises, list),
    "a text that raises": lambda: hostile(_raises, str),
    "a text that blocks": lambda: hostile(_blocks, str),
    "conversions raise": lambda: hostile(_raises, **dict.fromkeys(CONVERSIONS, _raises)),
    "conversions recurse": lambda: hostile(_raises, **dict.fromkeys(CONVERSIONS, _recurses)),
    "a mapping that raises": lambda: hostile(_raises, dict, items=_raises, keys=_raises),
}


def the_run(store: Store) -> RunSummary:
    [run] = store.runs()
    return run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    os.environ["INSTRUMENT_STORE"] = str(tmp_path / "store")
    return open_store("local", tmp_path / "store", SystemClock())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
def test_t36_hostile_values_cost_only_themselves(kind: str, store: Store) -> None:
    seen = []

    @track_artifacts()
    def work(value: Any, more: Any = None) -> int:
        seen.append(value)
        return 7

    value = HOSTILE[kind]()
    config: dict[str, Any] = {"lr": 0.1, "bad": value, "in": {"list": [1, value]}}
    told = "no JSON form for 'bad' ("
    try:
        context = ExperimentContext(config)
    except UsageError as refused:  # one line, with the names of what has no JSON form
        told = str(refused)
        context = ExperimentContext({"lr": 0.1, "bad": None})
    with context as run:
        run.log_params({"second": 2})
        with suppress(UsageError):
            run.log_params({"bad again": HOSTILE[kind]()})
        assert work(value, more={"in": [value]}) == 7
        with suppress(Exception):  # what its own methods raise is the user's to hear
            run.log_artifact("a", "dataset", data={}, metadata={"bad": value})
        if "blocks" not in kind:  # a metric is asked for its number, which may have to be computed
            with suppress(Exception):
                run.log_metrics({"loss": value})
        run.log_metrics({"loss": 0.5}, step=1)
    assert told.startswith("no JSON form for 'bad' (")
    assert "\n" not in told
    assert seen[0] is value
    found = the_run(store)
    assert found.state == "COMPLETED"
    assert found.params["lr"] == 0.1
    assert found.params["second"] == 2
    assert "bad" in found.params
    assert found.metrics == {"loss": 0.5}
    assert len(str(found.params)) < 100_000


def test_t36_an_endless_sequence_is_left_out(store: Store) -> None:
    class Endless(dict[str, Any]):
        def items(self) -> Any:
            while True:
                yield "again", 1

    with ExperimentContext({"lr": 0.1}) as run, pytest.raises(UsageError, match="100000 values"):
        run.log_params(Endless(a=1))
    assert the_run(store).params["lr"] == 0.1


NAMES = [
    "../x",
    "/etc/passwd",
    "..",
    "a" * 250,
    "🎉",
    "a\0b",
    "a\nb",
    "a/b/c",
    "%2e%2e%2f",
    "'; DROP",
]


def test_t37_odd_names_are_data(store: Store, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    with ExperimentContext() as run:
        for name in NAMES:
            run.log_metrics({name: 1.0}, step=0)
        for bad in ["", "a" * 10_000, 3, None, "\udcff"]:
            with pytest.raises(Exception, match="cannot name a metric"):
                run.log_metrics({bad: 1.0})  # type: ignore[dict-item]
    assert set(the_run(store).metrics) == set(NAMES)
    assert {path.name for path in tmp_path.iterdir()} <= {*before, "store", "cache"}
    everything = [path.name for path in (tmp_path / "store").rglob("*")]
    assert not {"x", "passwd", "a", "b"}.intersection(everything)


def test_t37_names_without_end_are_bounded_and_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_values, "MAX_METRIC_NAMES", 1000)
    with ExperimentContext() as run:
        for start in range(0, 20_000, 100):
            run.log_metrics({f"loss/{number}": 1.0 for number in range(start, start + 100)})
        run.log_metrics({"loss/0": 2.0, "loss/19999": 2.0}, step=1)
    found = the_run(store)
    assert len(found.metrics) == 1000
    assert found.metrics["loss/0"] == 2.0
    [problem] = [text for text in found.recording.problems if "1000" in text]
    assert "loss/1000" in problem
