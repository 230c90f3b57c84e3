"""Runs first in each Python that a recorded command starts, and steps aside at once.

``instrument run`` puts this directory on ``PYTHONPATH``, and in ``INSTRUMENT_STARTUP`` the prefix
of its own Python and the libraries to wait for. Right before the first of them is loaded, the
process takes part in the run (`instrument.automatic.take_part`); until then nothing of instrument
is imported. The program sees the ``sys.path`` and the ``sitecustomize`` that it would have without.

Any Python may run this, old ones and such without instrument: it keeps to what all of them know.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_finders: list = sys.meta_path  # type: ignore[type-arg]


class _Waiting:
    """Part of the import system: has what it waits for loaded by a loader of ours."""

    def __init__(self, roots: "frozenset[str]") -> None:
        self._roots = roots
        self._turn = [True]

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> object:
        """What the other finders find. Nothing begins here.

        Python asks under the lock of all imports: threads that one waits for can import nothing.
        """
        if fullname.partition(".")[0] not in self._roots:
            return None
        spec = _found(fullname, path, target, self)
        if hasattr(getattr(spec, "loader", None), "exec_module"):
            spec.loader = _Loader(spec.loader, path, self)
        return spec

    def end(self) -> None:
        """Take part, unless another thread does. Whoever goes through the finders misses none."""
        self._roots = frozenset()
        try:
            self._turn.pop()
        except IndexError:
            return
        _take_part(foreign=False)


class _Loader:
    """Takes part before the module is loaded, then leaves it to the loader that it has by then."""

    def __init__(self, loader: "Any", path: object, waiting: "_Waiting") -> None:
        self._loader = loader
        self._path = path
        self._waiting = waiting
        self._has_begun = False

    def create_module(self, spec: "Any") -> object:
        self._settle(spec)
        return self._loader.create_module(spec)

    def exec_module(self, module: "Any") -> None:
        self._settle(module.__spec__)
        module.__loader__ = module.__spec__.loader
        self._loader.exec_module(module)

    def get_code(self, fullname: str) -> object:
        """Asked by ``python -m``."""
        self._waiting.end()
        return self._loader.get_code(fullname)

    def _settle(self, spec: "Any") -> None:
        if not self._has_begun:
            self._has_begun = True
            self._waiting.end()
            found = _found(spec.name, self._path, None, self._waiting)  # other finders stand there
            self._loader = getattr(found, "loader", None) or self._loader
        if spec.loader is self:
            spec.loader = self._loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


def _found(fullname: str, path: object, target: object, but: object) -> "Any":
    others = [finder for finder in list(_finders) if finder is not but]
    found = (finder.find_spec(fullname, path, target) for finder in others)
    return next((spec for spec in found if spec is not None), None)


def _take_part(*, foreign: bool) -> None:
    try:
        from instrument.automatic import take_part
    except Exception:
        return  # another Python, without instrument: `instrument run` has said so
    take_part(foreign=foreign)


def _begin() -> None:
    here = os.path.dirname(__file__)  # noqa: PTH120 - an import of pathlib would be ours
    sys.path[:] = [entry for entry in sys.path if entry != here]
    prefix, _, roots = os.environ.get("INSTRUMENT_STARTUP", "").partition(os.pathsep)
    if not prefix:
        return
    if os.path.realpath(prefix) != os.path.realpath(sys.prefix):
        os.environ["INSTRUMENT_STARTUP"] = sys.prefix + os.pathsep + roots
        _take_part(foreign=True)
    elif roots:
        _finders.insert(0, _Waiting(frozenset(roots.split(","))))


_begin()
del sys.modules[__name__]
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401 - the one that stands behind this one, if any
