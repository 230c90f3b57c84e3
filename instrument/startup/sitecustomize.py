"""Runs first in each Python that a recorded command starts, and steps aside at once.

``instrument run`` puts this directory on ``PYTHONPATH``, and in ``INSTRUMENT_STARTUP`` the prefix
of its own Python and the libraries to wait for. When one of them is imported, the process takes
part in the run (`instrument.automatic.take_part`); before that nothing of instrument is imported.
The program sees the ``sys.path`` and the ``sitecustomize`` that it would have without.

Any Python may run this, old ones and such without instrument: it keeps to what all of them know.
"""

import os
import sys

_finders: list = sys.meta_path  # type: ignore[type-arg]


class _Waiting:
    """Part of the import system: never finds a module, and sees each that is looked for."""

    def __init__(self, roots: "frozenset[str]") -> None:
        self._roots = roots

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> object:
        if fullname.partition(".")[0] not in self._roots:
            return None
        if self in _finders:
            _finders.remove(self)
            _take_part(foreign=False)
        # other finders stand there now
        found = (finder.find_spec(fullname, path, target) for finder in list(_finders))
        return next(filter(None, found), None)


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
