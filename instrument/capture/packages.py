"""Every installed distribution, by reading the heads of its metadata.

`importlib.metadata` parses whole files as e-mail messages: 25 to 80 times slower than this.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from instrument.redaction import printable, redact_url

KEY_PACKAGES: Final = frozenset(
    [
        "accelerate", "datasets", "deepspeed", "flax", "jax", "jaxlib", "keras", "lightgbm",
        "numpy", "pandas", "peft", "pyarrow", "pytorch-lightning", "ray", "safetensors",
        "scikit-learn", "scipy", "tensorflow", "tokenizers", "torch", "torchvision",
        "transformers", "trl", "vllm", "xgboost",
    ]
)  # fmt: skip
_HEAD_BYTES: Final = 1024  # name and version stand in the first lines
_SEPARATORS = re.compile(r"[-_.]+")


class Found(NamedTuple):
    """Where a distribution's metadata lies.

    Attributes:
        name: Its name as the file system has it.
        version: Likewise; None where the name of the directory does not tell.
        path: The file with its metadata.
    """

    name: str
    version: str | None
    path: str


def normalised(name: str) -> str:
    """`name` as PEP 503 compares it."""
    return _SEPARATORS.sub("-", name).lower()


def key_packages() -> dict[str, str]:
    """Versions of the installed libraries that decide most results; no file is opened."""
    return {
        name: version
        for name, version in _names().items()
        if name in KEY_PACKAGES and version is not None
    }


def all_packages() -> dict[str, str | None]:
    """Version of every distribution on `sys.path`, by normalised name.

    Read again only when something was installed or `sys.path` has changed.
    """
    return dict(_all_packages(_state_of_path()))


@lru_cache(maxsize=1)
def _all_packages(_state: tuple[tuple[str, int], ...]) -> dict[str, str | None]:
    packages: dict[str, str | None] = {}
    for found in _distributions():
        name, version = _read_head(found)
        packages.setdefault(printable(normalised(name)), version)
    return dict(sorted(packages.items()))


def _state_of_path() -> tuple[tuple[str, int], ...]:
    """The directories of `sys.path` and when each was last changed."""
    state = []
    for entry in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            state.append((entry, os.stat(entry or os.curdir).st_mtime_ns))  # noqa: PTH116 - fast
    return tuple(state)


def sources() -> dict[str, Any]:
    """What was not installed from an index (PEP 610): editable, from a directory, from git."""
    known: dict[str, Any] = {}
    for found in _distributions():
        direct = _direct_url(Path(found.path).with_name("direct_url.json"))
        if direct is not None:
            known.setdefault(printable(normalised(found.name)), direct)
    return dict(sorted(known.items()))


def _names() -> dict[str, str | None]:
    names: dict[str, str | None] = {}
    for found in _distributions():
        names.setdefault(normalised(found.name), found.version)
    return dict(sorted(names.items()))


def _distributions() -> Iterator[Found]:
    """What is installed, in the order in which Python would find it."""
    for entry in dict.fromkeys(sys.path):
        try:
            names = sorted(os.listdir(entry or os.curdir))  # noqa: PTH208 - names, and fast
        except OSError:  # a zip archive, or not there
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                yield _found(entry or os.curdir, name)


def _found(directory: str, entry: str) -> Found:
    stem, _, kind = entry.rpartition(".")
    name, _, version = stem.partition("-")
    path = f"{directory}/{entry}"
    if kind == "dist-info":
        return Found(name, version or None, f"{path}/METADATA")
    version = version.partition("-py")[0]
    is_directory = os.path.isdir(path)  # noqa: PTH112 - a string, and fast
    return Found(name, version or None, f"{path}/PKG-INFO" if is_directory else path)


def _read_head(found: Found) -> tuple[str, str | None]:
    """Name and version as the metadata spells them, else as its directory does."""
    try:
        descriptor = os.open(found.path, os.O_RDONLY)
        try:
            head = os.read(descriptor, _HEAD_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return found.name, found.version
    head = b"\n" + head.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n"
    return (
        _field(head, b"\nName:") or found.name,
        _field(head, b"\nVersion:") or found.version,
    )


def _field(head: bytes, name: bytes) -> str | None:
    start = head.find(name)
    if start < 0:
        return None
    start += len(name)
    return head[start : head.index(b"\n", start)].decode(errors="replace").strip() or None


def _direct_url(path: Path) -> dict[str, Any] | None:
    try:
        direct = msgspec.json.decode(path.read_bytes())
        known: dict[str, Any] = {"url": redact_url(printable(direct["url"]))}
        known["editable"] = bool(direct.get("dir_info", {}).get("editable", False))
        known["commit"] = direct.get("vcs_info", {}).get("commit_id")
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return None
    return known
