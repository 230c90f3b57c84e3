"""Sessions of ONNX Runtime: the model, and the files beside it that hold its weights."""

import os
import re
from pathlib import Path
from typing import Any, Final

from instrument.intercept.constructors import Constructor
from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.targets import Target

_MAX_BYTES: Final = 64 << 20
"""A model with weights in other files is smaller: it holds its graph and their names."""
_LOCATION: Final = re.compile(rb"\x0a\x08location\x12(?P<size>[\x01-\x7f])")


def _begin(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    source = args[0] if args else kwargs.get("path_or_bytes")
    load.reads(source)
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.fsdecode(source))
        for name in _external(path):
            load.reads(path.parent / name)


def _external(path: Path) -> list[str]:
    """Names of the files that hold weights of the model at `path`.

    ``onnx.proto``: `TensorProto.external_data` is a list of `StringStringEntryProto`, whose field 1
    is the key ``location`` and field 2 the path, relative to the model's.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            return []
        data = path.read_bytes()
    except OSError:
        return []
    found: dict[str, None] = {}
    for match in _LOCATION.finditer(data):
        name = data[match.end() : match.end() + match["size"][0]]
        found[name.decode(errors="surrogateescape")] = None
    return list(found)


def _end(load: Load, session: Any) -> None:
    about = session.get_modelmeta()
    load.facts |= known(
        graph=about.graph_name or None,
        producer=about.producer_name or None,
        inputs={one.name: f"{one.type} {one.shape}" for one in session.get_inputs()},
        outputs={one.name: f"{one.type} {one.shape}" for one in session.get_outputs()},
        providers=session.get_providers(),
    )


TARGETS: Final = (
    Target(
        "onnxruntime.capi.onnxruntime_inference_collection",
        "InferenceSession.__init__",
        Constructor(
            LoadCall(
                "model", "onnxruntime.InferenceSession", "path_or_bytes", begin=_begin, end=_end
            )
        ),
    ),
)
