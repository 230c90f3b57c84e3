"""Tells when a module is imported, without importing anything before that.

`wrapt` does the work, and takes longer to import than a small run takes: it is loaded when the
first of the watched libraries is.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], None]


class Watch:
    """Calls hooks right after their module was imported, each at least once.

    Any thread may call; there is no lock that an import could wait for.

    Args:
        hooks: By name of the module. To call one twice must be harmless.
    """

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self._waiting = dict(hooks)
        self._roots = {name.partition(".")[0] for name in hooks}

    def add(self, hooks: Mapping[str, Hook]) -> None:
        """Watch more modules, from the next `start` on."""
        self._waiting.update(hooks)
        self._roots |= {name.partition(".")[0] for name in hooks}

    def start(self) -> None:
        """Begin to watch. Idempotent; modules that are there already are told at once."""
        if not self._waiting:
            return
        if self._roots.isdisjoint(sys.modules):
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
        else:
            self._arm()

    def stop(self) -> None:
        """Stop to wait for the first library. Hooks that wait already stay; they cost nothing."""
        with suppress(ValueError):
            sys.meta_path.remove(self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> Any:
        """Part of the import system: sees each module that is looked for, until one is ours.

        That one is looked for anew, since the list of finders is another now.
        """
        if fullname.partition(".")[0] not in self._roots:
            return None
        self._arm()
        self.stop()
        found = (finder.find_spec(fullname, path, target) for finder in list(sys.meta_path))
        return next(filter(None, found), None)

    def _arm(self) -> None:
        """Hand the hooks to wrapt; what two threads hand over at once is called twice."""
        import wrapt

        for name, hook in list(self._waiting.items()):
            wrapt.register_post_import_hook(hook, name)
            self._waiting.pop(name, None)
