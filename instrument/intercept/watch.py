"""Tells when a module is imported, without importing anything before that.

`wrapt` does the work, and takes longer to import than a small run takes: it is loaded when the
first of the watched libraries is.
"""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], None]


class Watch:
    """Calls hooks once each, right after their module was imported.

    Args:
        hooks: By name of the module.
    """

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self._hooks = hooks
        self._roots = {name.partition(".")[0] for name in hooks}
        self._lock = threading.RLock()
        self._armed = False

    def start(self) -> None:
        """Begin to watch. Idempotent; modules that are there already are told at once."""
        with self._lock:
            if self._armed or self in sys.meta_path:
                return
            if self._roots.isdisjoint(sys.modules):
                sys.meta_path.insert(0, self)
            else:
                self._arm()

    def stop(self) -> None:
        """Stop to wait for the first library. Hooks that wait already stay; they cost nothing."""
        with self._lock:
            if self in sys.meta_path:
                sys.meta_path.remove(self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002 - as above
    ) -> Any:
        """Part of the import system: never finds a module, and sees each that is looked for."""
        if fullname.partition(".")[0] in self._roots:
            with self._lock:
                self.stop()
                self._arm()

    def _arm(self) -> None:
        if self._armed:
            return
        self._armed = True
        import wrapt

        for name, hook in self._hooks.items():
            wrapt.register_post_import_hook(hook, name)
