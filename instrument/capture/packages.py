"""Every installed distribution: its version, where it came from, and which ones are hidden."""

import contextlib
import os
import sys
from functools import lru_cache
from typing import Any, Final

import msgspec

from instrument.capture.distributions import (
    Found,
    distributions,
    normalised,
    read_beside,
    read_head,
)
from instrument.redaction import printable, redact_url

KEY_PACKAGES: Final = frozenset(
    [
        "accelerate", "datasets", "deepspeed", "flax", "jax", "jaxlib", "keras", "lightgbm",
        "numpy", "pandas", "peft", "pyarrow", "pytorch-lightning", "ray", "safetensors",
        "scikit-learn", "scipy", "tensorflow", "tokenizers", "torch", "torchvision",
        "transformers", "trl", "vllm", "xgboost",
    ]
)  # fmt: skip


def key_packages() -> dict[str, str]:
    """Versions of the installed libraries that decide most results; no file is opened.

    Looked at again only when something was installed or `sys.path` has changed.
    """
    return _key_versions(_state_of_path())


@lru_cache(maxsize=1)
def _key_versions(_state: tuple[tuple[str, int], ...]) -> dict[str, str]:
    names: dict[str, str | None] = {}
    for found in distributions():
        names.setdefault(normalised(found.name), found.version)
    return {
        name: version
        for name, version in sorted(names.items())
        if name in KEY_PACKAGES and version is not None
    }


def all_packages() -> dict[str, str | None]:
    """Version of every distribution on `sys.path`, by normalised name.

    Read again only when something was installed or `sys.path` has changed.
    """
    return {name: found[0] for name, found in _everything().items()}


def shadowed() -> dict[str, list[str | None]]:
    """Versions of distributions that stand behind another of the same name and are not used."""
    return {name: list(found[1:]) for name, found in _everything().items() if len(found) > 1}


def sources() -> dict[str, Any]:
    """What was not installed from an index (PEP 610): editable, from a directory, from git.

    Credentials in its URL are removed.
    """
    known: dict[str, Any] = {}
    for found in distributions():
        direct = _direct_url(found)
        if direct is not None:
            known.setdefault(printable(normalised(found.name)), direct)
    return dict(sorted(known.items()))


def installers() -> dict[str, list[str]]:
    """Names of the distributions by what installed them (pip, uv, conda), where it says so."""
    known: dict[str, set[str]] = {}
    for found in distributions():
        name = (read_beside(found, "INSTALLER") or b"").decode(errors="replace").strip()
        if name:
            known.setdefault(name.splitlines()[0][:80], set()).add(
                printable(normalised(found.name))
            )
    return {name: sorted(names) for name, names in sorted(known.items())}


def _everything() -> dict[str, tuple[str | None, ...]]:
    return _versions(_state_of_path())


@lru_cache(maxsize=1)
def _versions(_state: tuple[tuple[str, int], ...]) -> dict[str, tuple[str | None, ...]]:
    """All versions by name, the one that Python finds first."""
    versions: dict[str, tuple[str | None, ...]] = {}
    for found in distributions():
        spelled, version = read_head(found)
        name = printable(normalised(spelled))
        versions[name] = (*versions.get(name, ()), version)
    return dict(sorted(versions.items()))


def _state_of_path() -> tuple[tuple[str, int], ...]:
    """The directories of `sys.path` and when each was last changed."""
    state = []
    for entry in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            state.append((entry, os.stat(entry or os.curdir).st_mtime_ns))  # noqa: PTH116 - fast
    return tuple(state)


def _direct_url(found: Found) -> dict[str, Any] | None:
    try:
        direct = msgspec.json.decode(read_beside(found, "direct_url.json") or b"")
        version_control = direct.get("vcs_info", {})
        return {
            "url": redact_url(printable(direct["url"])),
            "editable": bool(direct.get("dir_info", {}).get("editable", False)),
            "commit": version_control.get("commit_id"),
            "requested": version_control.get("requested_revision"),
            "subdirectory": direct.get("subdirectory"),
            "hashes": direct.get("archive_info", {}).get("hashes"),
        }
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return None
