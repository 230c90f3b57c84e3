"""Tells when a module is imported, without importing anything.

Python asks finders under the lock of all imports: to import something there, or to wait for a
module, can wait for ever when two threads import at once. (wrapt's hooks for imports do both, so
they are not used.) Hooks are called later, when the module's own code has run.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

Hook = Callable[[ModuleType], None]


class Watch:
    """Calls hooks right after their module was imported. Any thread may call.

    Args:
        hooks: By name of the module. They must not raise.
    """

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self._hooks = dict(hooks)
        self._is_on = False

    def add(self, hooks: Mapping[str, Hook]) -> None:
        """Watch more modules."""
        self._hooks.update(hooks)

    def start(self) -> None:
        """Begin to watch. Idempotent. Modules that are there already are not told."""
        self._is_on = True
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Watch no more. Idempotent.

        It stays among the finders, and finds nothing: another thread may be going through them, and
        would pass over one, and its module would not be found, when one before it went.
        """
        self._is_on = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Part of the import system: what the other finders find, loaded by a loader of ours."""
        hook = self._hooks.get(fullname)
        if hook is None or not self._is_on:
            return None
        others = [finder for finder in list(sys.meta_path) if finder is not self]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = cast("Loader", _Loader(spec.loader, hook))
        return spec


class _Loader:
    """Loads a module with its own loader, which takes its place again, and calls the hook."""

    def __init__(self, loader: Any, hook: Hook) -> None:
        self._loader = loader
        self._hook = hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader; then calls the hook."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._hook(sys.modules.get(module.__name__, module))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
