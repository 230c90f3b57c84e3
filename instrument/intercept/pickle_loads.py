"""Estimators that are unpickled, on request: a pickle may hold anything, and most hold no model.

Nothing is unpickled by us: the object is looked at when the program has it.
"""

import sys
from typing import Any, Final

from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.reads import ReadCall
from instrument.intercept.targets import Target


def _loaded(load: Load, result: Any) -> None:
    """An estimator is a model; whatever else came out is data."""
    kind = type(result)
    load.facts |= known(class_name=f"{kind.__module__}.{kind.__qualname__}")
    base = sys.modules.get("sklearn.base")
    if base is None or not isinstance(result, base.BaseEstimator):
        load.kind = "data"
        return
    load.facts |= known(
        settings={name: str(value)[:200] for name, value in result.get_params(deep=False).items()},
        features=getattr(result, "n_features_in_", None),
    )


def _call(loader: str, argument: str) -> LoadCall:
    return ReadCall("model", loader, argument, end=_loaded)


TARGETS: Final = (
    Target("joblib.numpy_pickle", "load", _call("joblib.load", "filename")),
    Target("pickle", "load", _call("pickle.load", "file")),
)
