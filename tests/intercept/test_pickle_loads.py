"""Estimators that are unpickled, on request; nothing is unpickled by us."""

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import pytest
from intercept.loading import digest, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed: not tested")


class Tells:
    """Tells when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("import os; os.environ['UNPICKLED'] += ' again'",)


def _estimator() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.5).fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])


def _write(root: Path) -> dict[str, Callable[[], Any]]:
    root.mkdir(exist_ok=True)
    joblib.dump(_estimator(), root / "m.joblib")
    (root / "m.pickle").write_bytes(pickle.dumps(_estimator()))

    def from_pickle() -> Any:
        with (root / "m.pickle").open("rb") as stream:
            return pickle.load(stream)  # noqa: S301 - the test wrote it

    return {
        "joblib.load m.joblib": lambda: joblib.load(root / "m.joblib"),
        "pickle.load m.pickle": from_pickle,
    }


class TestJoblib(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "joblib")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        joblib_call, _ = _write(path / "models").values()
        return {"load": joblib_call}

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        (path / "damaged").write_bytes(b"damaged")
        return {
            "not there": lambda: joblib.load(path / "nothing"),
            "damaged": lambda: joblib.load(path / "damaged"),
        }

    def same(self, one: Any, other: Any) -> bool:
        return bool((one.coef_ == other.coef_).all())


class TestPickle(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "pickle")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        _, pickle_call = _write(path / "models").values()
        return {"load": pickle_call}

    def same(self, one: Any, other: Any) -> bool:
        return bool((one.coef_ == other.coef_).all())


def test_an_estimator_is_a_model_with_its_class_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTRUMENT_INTERCEPT", "pickle")
    for name, call in _write(tmp_path / "models").items():
        loader, file = name.split()
        found = loads_of(call)
        [load] = found.loaded
        assert (load.loader, load.what) == (loader, "model")
        assert load.facts["class_name"] == "sklearn.linear_model._logistic.LogisticRegression"
        assert load.facts["settings"]["C"] == "0.5"
        assert load.facts["features"] == 2
        assert found.of(load).digest == digest(tmp_path / "models" / file)
        assert not found.read


def test_other_objects_are_data_and_are_unpickled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTRUMENT_INTERCEPT", "pickle")
    path = tmp_path / "t.pickle"
    path.write_bytes(pickle.dumps(Tells()))
    monkeypatch.setenv("UNPICKLED", "")
    found = loads_of(lambda: joblib.load(path))
    assert os.environ["UNPICKLED"] == " again"
    [read] = found.read
    assert read.facts["class_name"] == "builtins.NoneType"
    assert not found.loaded


def test_not_asked_for_pickles_are_not_watched(tmp_path: Path) -> None:
    for call in _write(tmp_path / "models").values():
        found = loads_of(call)
        assert not found.loaded
        assert not found.read
