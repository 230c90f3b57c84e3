"""What ``instrument doctor`` looks at. Every check answers; none raises."""

import importlib
import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from instrument import __version__, registry, settings
from instrument.cli.opening import NO_FORMAT, Options, is_store, lacks_format
from instrument.cli.words import count, size
from instrument.clock import SystemClock
from instrument.errors import InstrumentError
from instrument.guard import one_line
from instrument.settings import Settings

Status: TypeAlias = Literal["ok", "note", "warning", "failed"]
_GIT_SECONDS: Final = 5.0
_TEST_BYTES: Final = 1024 * 1024
_LEAST_FREE_BYTES: Final = 64 * 1024 * 1024
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
# Import name, distribution, extra.
_OPTIONAL: Final = (
    ("torch", "torch", "torch"),
    ("safetensors", "safetensors", "torch"),
    ("numpy", "numpy", "torch"),
    ("transformers", "transformers", "transformers"),
    ("pandas", "pandas", "tables"),
    ("pyarrow", "pyarrow", "tables"),
    ("yaml", "pyyaml", "yaml"),
    ("pynvml", "nvidia-ml-py", "gpu"),
)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        name: What.
        status: ``ok``; ``note``: good to know; ``warning``: recording works, with a loss;
            ``failed``: recording does not work.
        detail: What was found.
        hint: What to do about it, or None.
    """

    name: str
    status: Status
    detail: str
    hint: str | None = None


def check_up(options: Options) -> list[Check]:
    """All checks, the most needed first."""
    checks = [
        Check(
            name="instrument", status="ok", detail=f"{__version__}, Python {sys.version.split()[0]}"
        )
    ]
    try:
        resolved = settings.resolve(store=options.store)
    except InstrumentError as error:
        return [*checks, Check(name="settings", status="failed", detail=str(error))]
    return [
        *checks,
        _settings(resolved),
        *_unread(),
        *_store(resolved.store),
        _write_test(resolved.store),
        _free_space(resolved.store),
        *_backends(),
        _git(),
        _gpu(),
        *_libraries(),
    ]


def _settings(resolved: Settings) -> Check:
    detail = f"mode {resolved.mode}, backends {', '.join(resolved.backends)}"
    detail += f", capture level {resolved.capture_level}"
    if resolved.mode == "disabled":
        return Check(
            name="settings",
            status="warning",
            detail="mode disabled: nothing is recorded",
            hint="unset INSTRUMENT_MODE to record",
        )
    return Check(name="settings", status="ok", detail=detail)


def _unread() -> Iterator[Check]:
    """Variables and names in the project's file that look like settings and are none."""
    for told in settings.unread():
        yield Check(
            name="unread settings",
            status="warning",
            detail=told,
            hint="correct or remove the name; docs/api.md lists the settings",
        )


def _store(path: Path) -> Iterator[Check]:
    """Where the store is, what is in it, and whether its file system can be relied on."""
    try:
        if not is_store(path) and (path.is_dir() or not path.exists()):
            detail = f"there is no store at {path}"
            yield Check(name="store", status="note", detail=detail, hint="the first run makes it")
            return
        store = registry.open_store("local", path, SystemClock())
        info = dict(store.info())
    except (InstrumentError, OSError) as error:
        detail, _, hint = one_line(error).partition("; ")
        yield Check(name="store", status="failed", detail=detail, hint=hint or None)
        return
    if lacks_format(path):
        detail, _, hint = NO_FORMAT.format(path / "FORMAT").partition("; ")
        yield Check(name="store", status="warning", detail=detail, hint=hint)
    else:
        detail = f"{store.location}, format {info.get('format')}"
        yield Check(name="store", status="ok", detail=detail)
    amounts = [count(info.get(f"{noun}s", 0), noun) for noun in ("run", "artifact", "object")]
    detail = ", ".join([*amounts, size(info.get("objects_size_bytes"))])
    yield Check(name="contents", status="ok", detail=detail)
    yield _file_system(info)
    for advice in info.get("mount_advice", ()):
        detail, _, hint = advice.partition("; ")
        yield Check(name="mount", status="warning", detail=detail, hint=hint)
    yield from map(_spool, info.get("spools", ()))
    yield from _access(path)


def _spool(found: Mapping[str, Any]) -> Check:
    """Records that wait on a local disk since their process ended while the store hung."""
    if found["is_known"]:
        hint = f"instrument repair --from {found['path']}"
    else:
        hint = f"instrument --store STORE repair --from {found['path']}, with the store of the run"
    return Check(
        name="spool",
        status="warning",
        detail=f"records of run {found['run_id']} wait in {found['path']}",
        hint=hint,
    )


def _access(path: Path) -> Iterator[Check]:
    """Who else may change what is in the store: it is private when we make it."""
    others, owners = [], []
    with suppress(OSError):
        ours = {os.geteuid(), path.stat().st_uid}
        for place in (path, *sorted(path.iterdir())):
            status = place.lstat()
            if not stat.S_ISLNK(status.st_mode) and status.st_mode & _OTHERS_WRITE:
                others.append(place)
            if status.st_uid not in ours:
                owners.append(place)
    if others:
        yield Check(
            name="access",
            status="warning",
            detail=f"others than their owner may write to {_first(others)}",
            hint=f"chmod -R go-w {shlex.quote(str(path))}, unless all of them are trusted",
        )
    if owners:
        yield Check(
            name="owner",
            status="warning",
            detail=f"{_first(owners)} belongs to another user than the store",
            hint="find out who wrote it; `instrument verify` tells whether its content is whole",
        )


def _first(paths: list[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"


def _file_system(info: Mapping[str, Any]) -> Check:
    """The kind of the store's file system; network disks are told, and where the index lies."""
    network = bool(info.get("is_network"))
    detail = f"{info.get('file_system') or 'unknown'}, {'network' if network else 'local'}"
    detail += f" ({info['mount_options']})" if info.get("mount_options") else ""
    if info.get("index") is None:
        return Check(
            name="file system",
            status="warning",
            detail=f"{detail}; no local directory can take the index: listing runs is slow",
            hint="set XDG_CACHE_HOME to a local directory",
        )
    return Check(
        name="file system",
        status="note" if network else "ok",
        detail=detail,
        hint="other machines may see new runs up to a minute late" if network else None,
    )


def _write_test(path: Path) -> Check:
    """Write, sync and link a file where the store is, or where it would be made."""
    directory = _nearest(path)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=directory) as scratch:
            first = Path(scratch, "a")
            with first.open("wb") as file:
                file.write(os.urandom(_TEST_BYTES))
                file.flush()
                os.fsync(file.fileno())
            Path(scratch, "b").hardlink_to(first)
    except OSError as error:
        return Check(
            name="write test",
            status="failed",
            detail=f"{directory}: {error.strerror or error}",
            hint="make it writable, or set INSTRUMENT_STORE to a directory that is",
        )
    return Check(
        name="write test", status="ok", detail=f"write, fsync and link work in {directory}"
    )


def _free_space(path: Path) -> Check:
    """What the file system of the store still takes."""
    directory = _nearest(path)
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return Check(name="free space", status="note", detail=f"unknown: {error.strerror or error}")
    if free < _LEAST_FREE_BYTES:
        return Check(
            name="free space",
            status="warning",
            detail=f"only {size(free)} at {directory}: artifacts will not fit",
            hint="free some, or set INSTRUMENT_STORE to a directory on another disk",
        )
    return Check(name="free space", status="ok", detail=f"{size(free)} at {directory}")


def _nearest(path: Path) -> Path:
    """`path`, or the nearest directory above it that exists."""
    while not os.access(path, os.F_OK) and path != path.parent:
        path = path.parent
    return path


def _backends() -> Iterator[Check]:
    """Every known backend: can it be used?"""
    try:
        known = registry.known_backends()
    except InstrumentError as error:
        yield Check(name="backends", status="warning", detail=str(error))
        return
    for name, factory in sorted(known.items()):
        module, _, attribute = factory.partition(":")
        try:
            if name != "local":
                registry.check_mirror(name)
        except InstrumentError as error:
            reason, _, hint = one_line(error).partition("; ")
            yield Check(name=f"backend {name}", status="note", detail=reason, hint=hint or None)
            continue
        try:
            getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a stranger's module may do anything
            yield Check(name=f"backend {name}", status="failed", detail=one_line(error))
        else:
            yield Check(name=f"backend {name}", status="ok", detail=f"installed ({module})")


def _git() -> Check:
    """The git command, and whether the working directory is in a repository."""
    if shutil.which("git") is None:
        return Check(
            name="git",
            status="warning",
            detail="there is no git command: runs do not know their code",
            hint="install git, or set INSTRUMENT_GIT_COMMIT",
        )
    try:
        tool = _output_of("git", "--version").removeprefix("git version ")
        top = _output_of("git", "rev-parse", "--show-toplevel")
    except (OSError, subprocess.SubprocessError) as error:
        return Check(
            name="git",
            status="warning",
            detail=one_line(error),
            hint="set INSTRUMENT_GIT_COMMIT where there is no repository",
        )
    if not top:
        return Check(
            name="git",
            status="note",
            detail=f"{tool}; {Path.cwd()} is in no repository: runs here do not know their commit",
            hint="git init, or set INSTRUMENT_GIT_COMMIT",
        )
    return Check(name="git", status="ok", detail=f"{tool}; repository {top}")


def _output_of(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=_GIT_SECONDS, check=False
    )
    return done.stdout.strip()


def _gpu() -> Check:
    """NVIDIA GPUs, as NVML sees them."""
    if importlib.util.find_spec("pynvml") is None:
        if not Path("/dev/nvidiactl").exists():
            return Check(name="gpu", status="note", detail="no NVIDIA GPU here")
        return Check(
            name="gpu",
            status="warning",
            detail="there is an NVIDIA driver, but runs cannot see its GPUs",
            hint="pip install 'instrument-ml[gpu]'",
        )
    from instrument.capture import gpu

    try:
        devices = gpu.names()["devices"]
    except Exception as error:  # no driver, or one that does not answer
        return Check(name="gpu", status="note", detail=f"no NVIDIA GPU here ({one_line(error)})")
    told = [each.get("name") or f"{each['index']}: {each['reason']}" for each in devices]
    well = all("name" in each for each in devices)
    return Check(
        name="gpu",
        status="ok" if well else "warning",
        detail=", ".join(told) or "none",
        hint=None if well else "`nvidia-smi` and the kernel's log tell more",
    )


def _libraries() -> Iterator[Check]:
    """Libraries that more can be recorded with."""
    for module, distribution, extra in _OPTIONAL:
        try:
            found = version(distribution)
        except PackageNotFoundError:
            yield Check(
                name=f"library {module}",
                status="note",
                detail="not installed",
                hint=f"pip install 'instrument-ml[{extra}]', where you need it",
            )
        else:
            yield Check(name=f"library {module}", status="ok", detail=found)
