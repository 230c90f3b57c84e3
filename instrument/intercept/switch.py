"""Interception on and off: on while a run is open, for every thread and task of the process."""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any, Final

from instrument.intercept import seeds, session
from instrument.intercept.libraries import LIBRARIES, Library, strangers
from instrument.intercept.patching import Patches
from instrument.intercept.session import Destination
from instrument.intercept.watch import Hook, Watch
from instrument.intercept.worker import worker
from instrument.protocols import Recorder
from instrument.records import EnvironmentCaptured
from instrument.vocabulary import Health

_COMPILER: Final = "torch._dynamo"
_WITH_RANDOM: Final = frozenset({"numpy", "torch"})
"""Beside these `random` is watched. Alone, what it takes to watch a function (`inspect` and more)
would be a third of what a run costs."""
_lock = threading.RLock()
_patches: Final = Patches()
_libraries: Final[dict[str, Library]] = {}
_parts: Final[set[str]] = set()
_told: Final[set[tuple[str, str]]] = set()
_untold: Final[dict[tuple[str, str], Health]] = {}
_depth = 0
_asked_strangers = False
_is_kept_out = False


def install(
    find: Callable[[], Destination | None] | None, parts: Iterable[str] = ("models", "data")
) -> None:
    """Switch interception on. To be paired with `uninstall`; pairs nest.

    Args:
        find: Tells where the records of a call go; None leaves it as it is.
        parts: Which libraries, by `Library.part`; they stay on until the last run is closed.
    """
    global _depth, _asked_strangers  # noqa: PLW0603 - how many runs are open
    seeds.begin()
    with _lock:
        session.of_runs = find or session.of_runs
        _depth += 1
        news = _depth == 1 or not _parts.issuperset(parts)
        _parts.update(parts)
    if news:
        _watch.add({_COMPILER: _keep_out_of_graphs} | _hooks(filter(_is_asked_for, LIBRARIES)))
        _watch.start()
        _wrap_what_is_there()
    if not _asked_strangers:
        _asked_strangers = True
        worker.submit(_welcome_strangers)


def uninstall() -> None:
    """Switch interception off, with the last of the runs."""
    global _depth  # noqa: PLW0603 - as above
    with _lock:
        _depth = max(_depth - 1, 0)
        if _depth == 0:
            session.of_runs = session.nowhere
            _patches.remove()
            _watch.stop()
            _told.clear()
            _parts.clear()


def complete(recorder: Recorder, seconds: float = 10.0) -> None:
    """Wait until what was loaded for `recorder` is identified, and tell what is not.

    Args:
        recorder: The run that is about to end.
        seconds: How long to wait at most.
    """
    _tell_rest(recorder)
    seeds.complete(recorder)
    loads = sys.modules.get("instrument.intercept.loads")
    if loads is not None and hasattr(loads, "complete"):  # else it is about to be imported
        loads.complete(recorder, seconds)
    tracing: Any = sys.modules.get("instrument.intercept.tracing")
    if hasattr(tracing, "tell_unseen"):
        tracing.tell_unseen(recorder)
    generation: Any = sys.modules.get("instrument.intercept.generation")
    if hasattr(generation, "complete"):
        generation.complete(recorder)


def watch_library(library: Library) -> None:
    """Intercept `library` too, now and in all later runs of the process."""
    _watch.add(_hooks([library]))
    if _depth:
        _wrap_what_is_there()


def _wrap_what_is_there() -> None:
    """What was imported before it was watched."""
    if _COMPILER in sys.modules:
        _keep_out_of_graphs(sys.modules[_COMPILER])
    for name, library in list(_libraries.items()):
        module = sys.modules.get(name)
        if module is not None:
            _wrap(name, library, module)
    with _lock:
        _patches.sweep()


def _hooks(libraries: Iterable[Library]) -> dict[str, Hook]:
    hooks: dict[str, Hook] = {}
    for library in libraries:
        for name in library.modules:
            _libraries[name] = library
            hooks[name] = partial(_on_import, name, library)
    return hooks


def _is_asked_for(library: Library) -> bool:
    """Whether `library` is to be watched from now on."""
    return library.part in _parts and _libraries.keys().isdisjoint(library.modules)


def _welcome_strangers() -> None:
    """In the background, once: to look through what is installed takes milliseconds."""
    try:
        for library in strangers():
            watch_library(library)
    except Exception as error:
        _tell("other packages", "failed", f"an interceptor cannot be loaded: {error}")


def _on_import(name: str, library: Library, module: ModuleType) -> None:
    if _depth:
        _wrap(name, library, module)


def _wrap(name: str, library: Library, module: ModuleType) -> None:
    """Wrap what is of interest in `module`; what cannot be wrapped is told, and left as it is.

    Never raises: the user's import must not fail for it. Code of others runs outside the lock.
    """
    if library.part not in _parts or (name == "random" and _WITH_RANDOM.isdisjoint(sys.modules)):
        return
    try:
        version = library.version()
        if not library.supports(version):
            reason = f"version {version} is outside {library.versions}"
            _tell(library.name, "skipped", reason)
            return
        targets = library.targets(name)
        if name != "random":  # it needs none
            importlib.import_module("instrument.intercept.wrapper")  # slow, so before the lock
    except Exception as error:
        _tell(library.name, "failed", f"its interceptor cannot be loaded: {error}")
        return
    for target in targets:
        try:
            with _lock:
                if _depth:
                    _patches.wrap(module, target)
        except Exception as error:
            reason = f"{target.module}.{target.name} cannot be wrapped: {error}"
            _tell(library.name, "failed", reason)
    if name in _WITH_RANDOM:
        _wrap_random(module)


def _wrap_random(_: ModuleType) -> None:
    """What it is watched beside has been imported."""
    if _depth and "random" in _libraries and "random" in sys.modules:
        _wrap("random", _libraries["random"], sys.modules["random"])


def _keep_out_of_graphs(compiler: ModuleType) -> None:
    """Have ``torch.compile`` run what is ours as it is. Never raises, as above."""
    global _is_kept_out  # noqa: PLW0603 - once in a process
    try:
        with _lock:
            _patches.keep_out_of_graphs()
            if not _is_kept_out:
                compiler.trace_rules.add(__name__.partition(".")[0])
                _is_kept_out = True
    except Exception as error:
        _tell("torch.compile", "skipped", f"it may look into our own code: {error}")


def _tell(library: str, status: str, reason: str) -> None:
    """On the record of the run, once; at its end where it has just begun to open."""
    if (library, reason) in _told:
        return
    _told.add((library, reason))
    _untold[library, reason] = Health(
        part=f"interception of {library}", status=status, reason=reason
    )
    found = session.find()
    if found is not None:
        _tell_rest(found.recorder)


def _tell_rest(recorder: Recorder) -> None:
    with _lock:
        health = tuple(_untold.values())
        _untold.clear()
    if health:
        recorder.record(EnvironmentCaptured(level=1, snapshot=None, health=health))


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - a thread that is not here may hold it
    _lock = threading.RLock()
    _untold.clear()  # the parent tells


_watch: Final = Watch(dict.fromkeys(_WITH_RANDOM, _wrap_random))
os.register_at_fork(after_in_child=_after_fork_in_child)
