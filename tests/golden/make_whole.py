"""Makes a store with every field of every record: ``python tests/golden/make_whole.py``.

Beside the golden store of its format, which an early writer made, this one is of a later writer of
the same format. It was made once; what is committed must be read by every later version. Beside
records it has what upkeep leaves: a deleted run, collected bytes, a hold, an alias, packs.
"""

import sys
import unittest.mock
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from golden.make import HERE, tidy
from msgspec import inspect

from instrument.naming import parse_reference
from instrument.protocols.upkeep import Scope
from instrument.records import KINDS, Params, Record
from instrument.testing import FakeClock
from instrument.testing.samples import AT, draft, record_run, run_started
from instrument_local import LocalStore

NAME: Final = "whole-1"
STORE_ID: Final = uuid.UUID("00000000-0000-4000-8000-000000000002")
WHOLE, KEPT, DELETED = "20260304-050607-0000000000c3", "20260304-kept", "20260304-deleted"
_OF_THE_PROCESS: Final = ("process_started", "run_started", "run_finished", "process_finished")


def fill(path: Path) -> None:
    """A store with one of every kind of record, and what upkeep leaves."""
    store = LocalStore(path, FakeClock())
    digest = store.put_bytes(b"weights")
    version = store.claim(draft("ref", b"weights", run_id=WHOLE, type="type"))
    record_run(store, WHOLE, run_started("whole"), *records(digest, version.check or ""))
    store.seal(WHOLE)
    store.pack(everything=True)
    record_run(store, KEPT, run_started("kept"), Params(values={"lr": 0.1}, source="config"))
    store.seal(KEPT)
    store.put_bytes(b"left alone")
    store.claim(draft("bound", b"weights", run_id=DELETED))
    record_run(store, DELETED, run_started("deleted"))
    store.seal(DELETED)
    store.tag(parse_reference("ref:v1"), "best", AT)
    store.upkeep.hold("ref:v1", AT + timedelta(days=365_000), "the law")
    store.upkeep.delete_run(DELETED, "asked to")
    store.upkeep.collect(Scope(unreferenced=True, grace_seconds=0), "not referred to")
    store.ledger.integrate()
    store.ledger.checkpoint()


def records(digest: str, check: str) -> list[Record]:
    """One record of every kind that a run may have in the middle, no field left out."""
    named = {"ref": "ref:v1", "parents": "ref:v1", "requested": "ref:v1", "check": check}
    kinds = {name: kind for name, kind in KINDS.items() if name not in _OF_THE_PROCESS}
    return [_example(inspect.type_info(kind), "", digest, named) for kind in kinds.values()]


def _example(info: inspect.Type, name: str, digest: str, named: dict[str, str]) -> Any:
    """A value of the type, made of its name."""

    def of(inner: inspect.Type, inner_name: str = name) -> Any:
        return _example(inner, inner_name, digest, named)

    match info:
        case inspect.StructType(cls=struct, fields=fields):
            return struct(**{field.name: of(field.type, field.name) for field in fields})
        case inspect.UnionType(types=types):
            return of(next(each for each in types if not isinstance(each, inspect.NoneType)))
        case inspect.StrType():
            return named.get(name, digest if name in _DIGESTS else name)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return (of(item),)
        case inspect.DictType(value_type=value):
            return {name: of(value)}
        case inspect.EnumType(cls=enum):
            return next(iter(enum))
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.AnyType():
            return {"any": [1, None, "text"]}
        case _:
            return _PLAIN[type(info)]


_PLAIN: Final[dict[type[inspect.Type], Any]] = {
    inspect.BoolType: True,
    inspect.IntType: 7,
    inspect.FloatType: 0.5,
    inspect.DateTimeType: AT,
}
_DIGESTS: Final = frozenset(
    {"digest", "snapshot", "files", "patch", "manifest", "cells", "columns", "script"}
)


def main() -> None:
    """Make it, unless it is there."""
    path = HERE / NAME
    if path.exists():
        sys.exit(f"{path} is there, and what was released never changes")
    with unittest.mock.patch("uuid.uuid4", return_value=STORE_ID):
        fill(path)
    tidy(path)


if __name__ == "__main__":
    main()
