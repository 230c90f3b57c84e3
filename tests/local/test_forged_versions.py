"""What a version says is changed by somebody who knows the format: the run that made it tells."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from instrument.clock import SystemClock
from instrument.errors import IntegrityError
from instrument.run_artifacts import _logged
from instrument.testing.samples import draft, record_run
from instrument_local import open_store
from instrument_local.stamps import stamp

RUN = "20260304-050607-0123456789ab"
CHANGES = {
    "metadata": {"accuracy": 0.99},
    "created_at": "2020-01-01T00:00:00Z",
    "run_id": "20260301-other",
    "parents": [],
    "type": "dataset",
    "size_bytes": 8,
    "format": "json",
}


def _forge(path: Path, **changes: object) -> None:
    """Change what a version says, with a check that is right."""
    said = {**json.loads(path.read_bytes()), **changes}
    del said["check"]
    path.chmod(0o600)
    path.write_bytes(stamp(json.dumps(said, separators=(",", ":")).encode()))


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize("packed", [False, True])
def test_what_a_version_says_cannot_change_under_the_run_that_made_it(
    store_path: Path, tmp_path: Path, field: str, *, packed: bool
) -> None:
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    store.claim(draft("base", b"weights"))
    made = store.claim(draft("model", b"weights", parents=("base:v1",), run_id=RUN))
    record_run(store, RUN, _logged(made, "output"))
    store.seal(RUN)
    store.bundles.export([RUN], tmp_path / "whole")
    if packed:
        store.pack(everything=True)
    _forge(store_path / "artifacts/model/v1.json", **{field: CHANGES[field]})
    for result in (store.verify(), store.verify(RUN)):
        assert [each.kind for each in result.problems if each.severity == "damage"] == [
            "version_changed"
        ]
        assert "artifacts/model/v1.json" in {each.path for each in result.problems}
        assert not result.ok
    store.bundles.export([RUN], tmp_path / "forged")
    theirs = open_store(tmp_path / "theirs", SystemClock())
    with pytest.raises(IntegrityError, match="model:v1 is not what its runs say"):
        theirs.bundles.import_(tmp_path / "forged", keys=())
    theirs.bundles.import_(tmp_path / "whole", keys=())
    assert theirs.verify().problems == ()


@pytest.mark.parametrize("run_id", [None, RUN])  # the ledger tells of it; its sealed run
def test_a_forged_version_makes_way_for_the_file_from_a_copy(
    store_path: Path, tmp_path: Path, run_id: str | None
) -> None:
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    made = store.claim(draft("model", b"weights", run_id=run_id))
    if run_id is not None:
        record_run(store, run_id, _logged(made, "output"))
        store.seal(run_id)
    store.ledger.integrate()
    copy = shutil.copytree(store_path, tmp_path / "copy")
    path = store_path / "artifacts/model/v1.json"
    right = path.read_bytes()
    _forge(path, type="dataset")
    forged = path.read_bytes()
    assert store.repair().steps == ()
    done = store.repair(sources=[copy])
    assert [(step.action, step.error) for step in done.steps] == [("restored", None)]
    assert done.verification.problems == ()
    assert path.read_bytes() == right
    (kept,) = store_path.glob("quarantine/*/artifacts/model/v1.json")
    assert kept.read_bytes() == forged


def test_a_forged_copy_of_a_version_is_not_taken(store_path: Path, tmp_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    store.claim(draft("model", b"weights"))
    store.ledger.integrate()
    path = store_path / "artifacts/model/v1.json"
    _forge(path, type="dataset")
    copy = shutil.copytree(store_path, tmp_path / "copy")
    _forge(copy / "artifacts/model/v1.json", type="result")
    assert store.repair(sources=[copy]).steps == ()


def test_records_of_before_still_say_type_size_and_parents(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    claimed = store.claim(draft("model", b"weights", run_id=RUN))
    made = msgspec.structs.replace(claimed, check=None)
    record_run(store, RUN, _logged(made, "output"))
    store.seal(RUN)
    assert store.verify().problems == ()
    for field, value in (("type", "dataset"), ("size_bytes", 8), ("parents", ["model:v1"])):
        path = store_path / "artifacts/model/v1.json"
        kept = path.read_bytes()
        _forge(path, **{field: value})
        assert [problem.kind for problem in store.verify().problems] == ["version_changed"]
        path.write_bytes(kept)
