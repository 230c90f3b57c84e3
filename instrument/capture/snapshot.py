"""The snapshot of the environment: what decides whether a run can be repeated here.

Only what stays the same from run to run goes in (no times, process ids or free memory), so that
equal environments have equal digests. Each part lives in a module of its own and is read by itself:
what one part cannot know is None, and its `Health` says why.
"""

import functools
from importlib import import_module
from typing import Any, Final, NamedTuple

from instrument.capture.parts import read_part
from instrument.errors import UsageError
from instrument.vocabulary import EnvironmentCaptureLevel, Health

BASIC, STANDARD, COMPLETE = EnvironmentCaptureLevel


class Part(NamedTuple):
    """One part of the snapshot.

    Attributes:
        name: Its name in the snapshot.
        level: From which level on it is read.
        function: ``module:function`` below `instrument.capture`, imported when it is needed.
        until: The last level at which it is read; a fuller part takes its place above.
        static: Whether one process has to read it only once.
    """

    name: str
    level: EnvironmentCaptureLevel
    function: str
    until: EnvironmentCaptureLevel = COMPLETE
    static: bool = True


PARTS: Final = (
    Part("python", BASIC, "python:interpreter"),
    Part("packages", BASIC, "packages:key_packages", until=BASIC, static=False),
    Part("gpu", BASIC, "gpu:names", until=BASIC),
    Part("packages", STANDARD, "packages:all_packages", static=False),
    Part("package_sources", STANDARD, "packages:sources", static=False),
    Part("gpu", STANDARD, "gpu:devices"),
    Part("cuda", STANDARD, "cuda:versions"),
    Part("system", STANDARD, "system:system"),
    Part("cpu", STANDARD, "system:cpu"),
    Part("memory", STANDARD, "system:memory"),
    Part("disk", STANDARD, "system:disk", static=False),
    Part("cpu_flags", COMPLETE, "system:cpu_flags"),
    Part("container", COMPLETE, "container:container"),
    Part("variables", COMPLETE, "variables:variables", static=False),
    Part("scheduler", COMPLETE, "variables:scheduler", static=False),
    Part("libraries", COMPLETE, "libraries:loaded_libraries", static=False),
    Part("lock_files", COMPLETE, "lockfiles:lock_files", static=False),
)

_known: dict[Part, tuple[Any, Health]] = {}


def capture_snapshot(level: int) -> tuple[dict[str, Any], tuple[Health, ...]]:
    """The snapshot at `level`, in plain values, and how each part went.

    Raises:
        UsageError: There is no such level.
    """
    if level not in (BASIC, STANDARD, COMPLETE):
        raise UsageError(f"capture level {level!r} is unknown; use 1, 2 or 3")
    snapshot: dict[str, Any] = {"level": int(level)}
    healths: list[Health] = []
    for part in PARTS:
        if part.level <= level <= part.until:
            snapshot[part.name], health = _read(part)
            healths.append(health)
    return snapshot, tuple(healths)


def _read(part: Part) -> tuple[Any, Health]:
    known = _known.get(part) if part.static else None
    if known is None:
        known = read_part(part.name, functools.partial(_call, part))
        if known[1].status in {"done", "skipped"}:
            _known[part] = known
    return known


def _call(part: Part) -> Any:
    module, _, name = part.function.partition(":")
    return getattr(import_module(f"instrument.capture.{module}"), name)()
