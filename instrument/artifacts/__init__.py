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

from instrument.artifacts.handle import Artifact, use
from instrument.artifacts.logging import log_value, plain_metadata, unrecorded
from instrument.artifacts.serialisers import register_serialiser
from instrument.artifacts.unstored import UnstoredArtifact

__all__ = [
    "Artifact",
    "UnstoredArtifact",
    "log_value",
    "plain_metadata",
    "register_serialiser",
    "unrecorded",
    "use",
]
