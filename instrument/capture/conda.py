"""The conda or pixi environment around the interpreter, as its own files tell it."""

import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from instrument.capture.parts import NotKnown
from instrument.redaction import REDACTED, printable, redact_url

_TOKEN_IN_CHANNEL = re.compile(r"/t/[^/]+/")


class _Package(msgspec.Struct):
    """What is read of ``conda-meta/NAME.json``: its lists of files are passed over."""

    name: str
    version: str
    build: str | None = None
    channel: str | None = None
    sha256: str | None = None
    md5: str | None = None


_decoder = msgspec.json.Decoder(_Package)


def conda(prefix: Path | None = None) -> dict[str, Any]:
    """Version, build, channel and hash of each conda package, and the pixi environment's name.

    Args:
        prefix: The environment; by default the one of this interpreter, else of what it was made
            from.
    """
    places = [prefix] if prefix else [Path(sys.prefix), Path(sys.base_prefix)]
    meta = next((p / "conda-meta" for p in places if (p / "conda-meta").is_dir()), None)
    if meta is None:
        raise NotKnown("the interpreter is in no conda or pixi environment")
    packages, unreadable = {}, []
    for path in sorted(meta.glob("*.json")):
        try:
            package = _decoder.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            unreadable.append(printable(path.name))
            continue
        packages[printable(package.name)] = _told(package)
    reasons = {"packages": f"not readable: {', '.join(unreadable[:20])}"} if unreadable else {}
    return {"packages": packages, "pixi": _pixi(meta / "pixi"), "reasons": reasons}


def _told(package: _Package) -> dict[str, Any]:
    return {
        "version": package.version,
        "build": package.build,
        "channel": _without_token(package.channel),
        "hash": f"sha256:{package.sha256}" if package.sha256 else _md5(package.md5),
    }


def _md5(text: str | None) -> str | None:
    return f"md5:{text}" if text else None


def _pixi(path: Path) -> dict[str, Any] | None:
    """What pixi notes about an environment that it made."""
    try:
        told = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return None
    return {
        "environment": told.get("environment_name"),
        "pixi_version": told.get("pixi_version"),
        "lock_hash": told.get("environment_lock_file_hash"),
    }


def _without_token(channel: str | None) -> str | None:
    return (
        _TOKEN_IN_CHANNEL.sub(f"/t/{REDACTED}/", redact_url(printable(channel)))
        if channel
        else None
    )
