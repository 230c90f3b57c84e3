"""Interception on and off: on while a run is open, for every thread and task of the process."""

import sys
import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Final

from instrument.intercept import session
from instrument.intercept.libraries import LIBRARIES, Library, library_of
from instrument.intercept.patching import Patches
from instrument.intercept.session import Destination
from instrument.intercept.watch import Watch
from instrument.protocols import Recorder
from instrument.records import EnvironmentCaptured
from instrument.vocabulary import Health

_lock: Final = threading.RLock()
_patches: Final = Patches()
_depth = 0


def install(find: Callable[[], Destination | None]) -> None:
    """Switch interception on. To be paired with `uninstall`; pairs nest.

    Args:
        find: Tells where the records of a call go.
    """
    global _depth  # noqa: PLW0603 - how many runs are open
    with _lock:
        session.find = find
        _depth += 1
        if _depth == 1:
            for name in _MODULES:
                module = sys.modules.get(name)
                if module is not None:
                    _wrap(name, module)
        _watch.start()


def uninstall() -> None:
    """Switch interception off, with the last of the runs."""
    global _depth  # noqa: PLW0603 - as above
    with _lock:
        _depth = max(_depth - 1, 0)
        if _depth == 0:
            _patches.remove()
            _watch.stop()


def complete(recorder: Recorder, seconds: float = 10.0) -> None:
    """Wait until what was loaded for `recorder` is identified, and tell what is not.

    Args:
        recorder: The run that is about to end.
        seconds: How long to wait at most.
    """
    content = sys.modules.get("instrument.intercept.content")
    late = content.wait_for_contents(recorder, seconds) if content is not None else 0
    if late:
        error = TimeoutError(f"{late} not hashed after {seconds:g} seconds")
        recorder.problem("identify all that was loaded", error)


def _on_import(name: str, module: ModuleType) -> None:
    with _lock:
        if _depth:
            _wrap(name, module)


def _wrap(name: str, module: ModuleType) -> None:
    """Wrap what is of interest in `module`; what cannot be wrapped is told, and left as it is."""
    library = library_of(name)
    version = library.version()
    if not library.supports(version):
        _tell(library, "skipped", f"version {version} is outside {library.versions}")
        return
    for target in library.targets(name):
        try:
            _patches.wrap(module, target)
        except Exception as error:
            _tell(library, "failed", f"{target.module}.{target.name} cannot be wrapped: {error}")


def _tell(library: Library, status: str, reason: str) -> None:
    found = session.find()
    if found is not None:
        health = Health(part=f"interception of {library.name}", status=status, reason=reason)
        found.recorder.record(EnvironmentCaptured(level=1, snapshot=None, health=(health,)))


_MODULES: Final = {name for library in LIBRARIES for name in library.modules}
_watch: Final = Watch({name: partial(_on_import, name) for name in _MODULES})
