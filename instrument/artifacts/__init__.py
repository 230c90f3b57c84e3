"""Artifacts: values, files and directory trees as named versions in a store.

    from instrument.artifacts import log_value, use

    version = log_value(store, name="model", type="model", data=net, clock=SystemClock())
    use(store, version.ref).load()                      # the state dict
    use(store, "model:latest").copy_to("model.safetensors")

A value is written by what it is, one file for each value: torch modules, tensors and (nested) dicts
of them as safetensors; numpy arrays as npy, dicts of them as npz; pandas, pyarrow and polars frames
as parquet; text, bytes; everything JSON-like as canonical JSON; a `Path` as the file or tree it
names. Equal values give equal bytes, and so one version. `register_serialiser` adds types;
``pickle=True`` takes what is left, at the price of a file that only trusted readers may load.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from instrument.artifacts.logging import log_value, plain_metadata, unrecorded

if TYPE_CHECKING:
    from instrument.artifacts.handle import Artifact, UnstoredArtifact, use
    from instrument.artifacts.serialisers import register_serialiser

__all__ = [
    "Artifact",
    "UnstoredArtifact",
    "log_value",
    "plain_metadata",
    "register_serialiser",
    "unrecorded",
    "use",
]
_LATER: Final = {
    "Artifact": "handle",
    "UnstoredArtifact": "handle",
    "register_serialiser": "serialisers",
    "use": "handle",
}
"""What needs the serialisers: to log a path or to list a tree nobody waits for them."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
