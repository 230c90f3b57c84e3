"""The snapshot of the environment: what decides whether a run can be repeated here.

Only what stays the same from run to run goes into the snapshot (no times, process ids or free
memory), so that equal environments have equal digests. What tells one of several equal places from
another (ids of GPUs, of the container, of the CI job) is the *place*, and is kept beside it.

Each part lives in a module of its own and is read by itself: what a part cannot know is None, and
its `Health` says why. A field that is None inside a part has its reason in the part's ``reasons``.
"""

import functools
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, NamedTuple

from instrument.capture.parts import LIMIT_BYTES, LIMIT_SECONDS, read_part
from instrument.errors import UsageError
from instrument.vocabulary import EnvironmentCaptureLevel, Health

BASIC, STANDARD, COMPLETE = EnvironmentCaptureLevel
TOTAL_SECONDS: Final = 7.0
"""All parts of the snapshot together; what is left of them then is skipped."""
PLACE_SECONDS: Final = 1.5
GPU_SECONDS: Final = 5.0
"""A driver that has to start its GPUs first takes seconds."""


class Part(NamedTuple):
    """One part of the snapshot.

    Attributes:
        name: Its name in the snapshot.
        level: From which level on it is read.
        function: ``module:function`` below `instrument.capture`, imported when it is needed.
        until: The last level at which it is read; a fuller part takes its place above.
        static: Whether one process has to read it only once.
        keeps: Whether it keeps files: then it is called with what stores bytes as an object.
        limit_seconds: How long it may take.
        limit_bytes: How large it may be as JSON.
    """

    name: str
    level: EnvironmentCaptureLevel
    function: str
    until: EnvironmentCaptureLevel = COMPLETE
    static: bool = True
    keeps: bool = False
    limit_seconds: float = LIMIT_SECONDS
    limit_bytes: int = LIMIT_BYTES


PARTS: Final = (
    Part("python", BASIC, "python:interpreter"),
    Part("packages", BASIC, "packages:key_packages", until=BASIC, static=False),
    Part("gpu", BASIC, "gpu:names", until=BASIC, limit_seconds=GPU_SECONDS),
    Part("packages", STANDARD, "packages:all_packages", static=False),
    Part("package_sources", STANDARD, "packages:sources", static=False),
    Part("shadowed_packages", STANDARD, "packages:shadowed", static=False),
    Part("editables", STANDARD, "editables:editables", limit_seconds=3.0),
    Part("conda", STANDARD, "conda:conda", static=False),
    Part("gpu", STANDARD, "gpu:devices", limit_seconds=GPU_SECONDS),
    Part("rocm", STANDARD, "rocm:rocm"),
    Part("cuda", STANDARD, "cuda:versions"),
    Part("system", STANDARD, "system:system"),
    Part("cpu", STANDARD, "processors:cpu", static=False),
    Part("memory", STANDARD, "system:memory"),
    Part("limits", STANDARD, "cgroup:limits", static=False),
    Part("disks", STANDARD, "disks:disks", static=False),
    Part("cpu_flags", COMPLETE, "processors:flags"),
    Part("package_installers", COMPLETE, "packages:installers", static=False),
    Part("package_hashes", COMPLETE, "package_hashes:package_hashes", static=False),
    Part("container", COMPLETE, "container:container"),
    Part("variables", COMPLETE, "variables:variables", static=False),
    Part("scheduler", COMPLETE, "scheduler:scheduler", static=False),
    Part("libraries", COMPLETE, "libraries:loaded_libraries", static=False),
    Part("lock_files", COMPLETE, "lockfiles:lock_files", static=False, keeps=True),
)
PLACE: Final = (
    Part("ci", BASIC, "ci:ci"),
    Part("cpu_affinity", STANDARD, "processors:affinity", static=False),
    Part("gpu_ids", STANDARD, "gpu:ids", static=False, limit_seconds=GPU_SECONDS),
    Part("notebook", STANDARD, "notebook:notebook", static=False),
    Part("container_ids", COMPLETE, "container:ids"),
)
Keep = Callable[[bytes], str]
"""Stores bytes as an object and returns its digest; raises when it cannot."""

_known: dict[Part, tuple[Any, Health]] = {}


def capture_snapshot(
    level: int, keep: Keep | None = None
) -> tuple[dict[str, Any], tuple[Health, ...]]:
    """The snapshot at `level`, in plain values, and how each part went.

    Args:
        level: 1, 2 or 3.
        keep: Stores the files that belong to the snapshot; without it only their digests are taken.

    Raises:
        UsageError: There is no such level.
    """
    facts, healths = _capture(PARTS, level, TOTAL_SECONDS, keep)
    return {"level": int(level), **facts}, healths


def capture_place(level: int) -> tuple[dict[str, Any], tuple[Health, ...]]:
    """Which of several equal places this is, in plain values, and how each part went.

    Raises:
        UsageError: There is no such level.
    """
    return _capture(PLACE, level, PLACE_SECONDS)


def _capture(
    parts: Iterable[Part], level: int, limit_seconds: float, keep: Keep | None = None
) -> tuple[dict[str, Any], tuple[Health, ...]]:
    if level not in (BASIC, STANDARD, COMPLETE):
        raise UsageError(f"capture level {level!r} is unknown; use 1, 2 or 3")
    deadline = time.monotonic() + limit_seconds
    facts: dict[str, Any] = {}
    healths: list[Health] = []
    for part in parts:
        if part.level <= level <= part.until:
            facts[part.name], health = _read(part, deadline - time.monotonic(), keep)
            healths.append(health)
    return facts, tuple(healths)


def _read(part: Part, left_seconds: float, keep: Keep | None) -> tuple[Any, Health]:
    known = _known.get(part) if part.static else None
    if known is None:
        limit_seconds = min(part.limit_seconds, left_seconds)
        read = functools.partial(_call, part, keep)
        known = read_part(
            part.name, read, limit_seconds=limit_seconds, limit_bytes=part.limit_bytes
        )
        if left_seconds > 0 and known[1].status in {"done", "skipped"}:
            _known[part] = known
    return known


def _call(part: Part, keep: Keep | None) -> Any:
    module, _, name = part.function.partition(":")
    function = getattr(import_module(f"instrument.capture.{module}"), name)
    return function(keep) if part.keeps else function()
