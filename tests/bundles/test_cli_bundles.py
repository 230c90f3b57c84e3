"""``instrument export`` and ``instrument import``, typed by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundles.making import (
    DATA,
    RUN,
    WEIGHTS,
    bundle_of,
    files_of,
    full_run,
    log,
    logged,
    store_at,
    used,
)

from instrument import ExperimentContext
from instrument.errors import IntegrityError, StoreError
from instrument.naming import parse_reference
from instrument.testing.samples import record_run, run_started
from instrument_local.bundles.reading import Bundle

MODEL = parse_reference("model")


def instrument(*words: str, store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "instrument", "--store", str(store), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    full_run(store_at(tmp_path / "ours"))
    return tmp_path / "ours"


def test_there_and_back(ours: Path, tmp_path: Path) -> None:
    theirs, bundle = tmp_path / "theirs", str(tmp_path / "b")
    out = instrument("export", "latest", RUN[:12], "-o", bundle, "--why", "for Bob", store=ours)
    assert (out.returncode, out.stdout[:7]) == (0, "sha256:")
    assert "1 run, 2 artifacts, 8 objects" in out.stderr
    dry = instrument("import", bundle, "--dry-run", "--json", store=theirs)
    assert dry.returncode == 0, dry.stderr
    assert not theirs.exists()
    done = instrument("import", bundle, "--json", store=theirs)
    assert json.loads(done.stdout) == json.loads(dry.stdout)
    assert json.loads(done.stdout)["runs"] == [{"id": RUN, "here": RUN, "change": "new"}]
    for words in (("runs", "show", RUN, "--json"), ("lineage", "model:v1", "--json")):
        assert instrument(*words, store=theirs).stdout == instrument(*words, store=ours).stdout
    got = tmp_path / "got"
    assert instrument("artifacts", "get", "model", "-o", str(got), store=theirs).returncode == 0
    shown = instrument("artifacts", "show", "model", store=theirs).stdout
    assert "model:v1" in shown
    assert "imported" in shown
    again = instrument("import", bundle, store=theirs)
    assert "same" in again.stdout
    assert "brought 0 objects" in again.stderr
    assert "from store" in again.stderr
    assert "for Bob" in instrument("ledger", "log", store=ours).stdout


def test_a_run_that_stayed_elsewhere_leaves_the_lineage_sound(ours: Path, tmp_path: Path) -> None:
    theirs, bundle, store = tmp_path / "theirs", tmp_path / "b", store_at(ours)
    record_run(store, "20260304-later", run_started("later"), used(store.resolve(MODEL)))
    store.seal("20260304-later")
    bundle_of(store, bundle, "20260304-later")
    assert instrument("import", str(bundle), store=theirs).returncode == 0
    checked = instrument("lineage", "validate", "--json", store=theirs)
    assert (checked.returncode, json.loads(checked.stdout)["is_valid"]) == (0, True)
    (issue,) = json.loads(checked.stdout)["issues"]
    assert (issue["type"], issue["details"]) == ("runs_elsewhere", [RUN])
    told = instrument("lineage", "validate", store=theirs).stdout
    assert told.startswith("sound: ")
    assert "1 run left in another store by a bundle" in told
    assert "repair" not in told
    assert f"run {RUN}  ELSEWHERE" in instrument("lineage", "model", store=theirs).stdout
    for run in ours.glob("runs/*/*"):
        shutil.rmtree(run)
    assert instrument("lineage", "validate", store=ours).returncode == 1


def test_what_was_not_meant_is_told_in_one_line(ours: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.write_bytes(b"not a bundle")
    cases = {
        ("import", str(bundle)): (1, "begins with"),
        ("import", str(tmp_path / "none")): (2, "does not exist"),
        ("import", str(bundle), "--require-signature", "nonsense"): (2, "no public key"),
        ("export", RUN, "-o", str(bundle)): (2, "is there already"),
        ("export", RUN, "-o", "-"): (2, "not to stdout"),
        ("export", RUN, "-o", str(tmp_path / "no/where")): (2, "is no directory"),
        ("export", "nothing", "-o", str(tmp_path / "c")): (2, "no run"),
        ("export", RUN, "-o", str(tmp_path / "c"), "--max-object-size", "big"): (2, "no size"),
        ("export", "-o", str(tmp_path / "c")): (2, "Missing argument"),
    }
    for words, (code, match) in cases.items():
        done = instrument(*words, store=ours)
        assert (done.returncode, done.stdout) == (code, ""), (words, done.stderr)
        assert match in done.stderr
        assert done.stderr.count("\n") == 1
    assert bundle.read_bytes() == b"not a bundle"


def test_bytes_may_stay_behind(ours: Path, tmp_path: Path) -> None:
    small, none = str(tmp_path / "small"), str(tmp_path / "none")
    out = instrument("export", RUN, "-o", small, "--max-object-size", "1kB", "--json", store=ours)
    assert json.loads(out.stdout)["left_out"] == {"size": 1}
    out = instrument("export", RUN, "-o", none, "--without-objects", store=ours)
    assert "left out 2 objects: --without-objects\n" in out.stderr
    words = ("export", RUN, "-o", str(tmp_path / "big"), "--max-object-size", "0")
    out = instrument(*words, store=ours)
    assert "left out 2 objects: longer than --max-object-size\n" in out.stderr


def test_what_a_bundle_came_without_is_no_deed_of_who_imports_it(
    ours: Path, tmp_path: Path
) -> None:
    theirs, none, whole = tmp_path / "theirs", str(tmp_path / "none"), str(tmp_path / "whole")
    out = instrument("export", RUN, "-o", none, "--without-objects", store=ours)
    done = instrument("import", none, "--why", "to look", store=theirs)
    assert "left out of the bundle: 2 objects\n" in done.stderr
    came = f"bundle {out.stdout.strip()} came without it (imported on 20"
    back = ": to look); importing a bundle that has it, or logging the same content, brings it back"
    got = instrument("artifacts", "get", "model", "-o", str(tmp_path / "got"), store=theirs)
    assert (got.returncode, "collected" in got.stderr) == (2, False)
    assert f"is not here: {came}" in got.stderr
    assert back in got.stderr
    verified = instrument("verify", "--json", store=theirs)
    assert verified.returncode == 0
    for problem in json.loads(verified.stdout)["problems"]:
        assert problem["kind"] == "object_dropped"
        assert problem["found"].startswith(f"{came}")
        assert problem["found"].endswith(back)
    bundle_of(store_at(ours), Path(whole))
    assert instrument("import", whole, store=theirs).returncode == 0
    assert json.loads(instrument("verify", "--json", store=theirs).stdout)["problems"] == []


@pytest.mark.parametrize("name", ["dam", "some/dam"])
def test_what_is_said_of_a_damaged_bundle_begins_with_its_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = store_at(tmp_path / "ours")
    long = {"note": "x" * 150_000}  # its version has a part of its own
    record_run(ours, RUN, logged(log(ours, "model", WEIGHTS, run_id=RUN, metadata=long)))
    ours.seal(RUN)
    whole = bundle_of(ours, tmp_path / "whole").read_bytes()
    Path("some").mkdir()
    with Bundle(tmp_path / "whole") as bundle:
        sizes = [part.size_bytes for part in bundle.manifest.parts]
    ends = [20 + sum(sizes[: number + 1]) for number in range(len(sizes))]
    assert len(ends) == 3
    for offset in (20, *(end - 2 for end in ends), len(whole) - 400, len(whole) - 5):
        Path(name).write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        done = instrument("import", name, store=tmp_path / "theirs")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith(f"error: {name} is not used: "), done.stderr
        assert done.stderr.count("is not used") == 1, done.stderr


def test_a_bundle_that_is_cut_says_so_wherever_it_is_cut(ours: Path, tmp_path: Path) -> None:
    whole, cut = bundle_of(store_at(ours), tmp_path / "whole").read_bytes(), tmp_path / "cut"
    for size in (0, 1, 18, 19, 20, 21, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(IntegrityError, match=f"cut off at offset {size}; copy it again"):
            store_at(tmp_path / "theirs").bundles.import_(cut)


def test_a_lost_version_comes_back_as_it_was(tmp_path: Path) -> None:
    ours, bundle = tmp_path / "ours", str(tmp_path / "b")
    with ExperimentContext(store=ours) as run:
        made = [run.log_artifact("thing", data={"x": number}) for number in range(2)]
        log(store_at(ours), "data", DATA)
        run.use_artifact("data")
    assert instrument("export", "latest", "-o", bundle, store=ours).returncode == 0
    paths = [ours / f"artifacts/{name}/v1.json" for name in ("thing", "data")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    assert instrument("verify", store=ours).returncode == 1
    dry = instrument("import", bundle, "--dry-run", "--json", store=ours)
    done = instrument("import", bundle, "--json", store=ours)
    assert done.stdout == dry.stdout
    told = {each["ref"]: each for each in json.loads(done.stdout)["artifacts"]}
    for ref in ("thing:v1", "data:v1"):
        assert told[ref] == {"ref": ref, "here": ref, "is_new": False, "is_restored": True}
    assert not told[made[1].ref]["is_restored"]
    assert [path.read_bytes() for path in paths] == before
    verified = instrument("verify", "--json", store=ours)
    assert (verified.returncode, json.loads(verified.stdout)["problems"]) == (0, [])
    paths[0].unlink()
    assert "restored" in instrument("import", bundle, store=ours).stdout


def test_a_lost_version_is_not_replaced_by_another(tmp_path: Path) -> None:
    ours, bundle = tmp_path / "ours", str(tmp_path / "b")
    with ExperimentContext(store=ours) as run:
        run.log_artifact("thing", data={"x": 1})
    assert instrument("export", "latest", "-o", bundle, store=ours).returncode == 0
    (ours / "artifacts/thing/v1.json").unlink()
    (journal,) = ours.glob("runs/*/*/*.jsonl")
    journal.chmod(0o600)
    journal.write_bytes(journal.read_bytes().replace(b"COMPLETED", b"COMPLETEd"))
    done = instrument("import", bundle, store=ours)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "thing:v1 is lost here" in done.stderr
    assert not (ours / "artifacts/thing/v1.json").exists()


@pytest.fixture
def redacted(ours: Path, tmp_path: Path) -> tuple[Path, str]:
    """A store whose run was exported, then redacted; and the bundle."""
    bundle = str(tmp_path / "b")
    assert instrument("export", RUN, "-o", bundle, store=ours).returncode == 0
    words = ("runs", "delete", RUN, "--why", "gdpr\n17", "--redact", "--yes")
    assert instrument(*words, store=ours).returncode == 0
    return ours, bundle


def test_a_run_that_was_removed_on_purpose_comes_back_only_when_that_is_asked(
    redacted: tuple[Path, str],
) -> None:
    ours, bundle = redacted
    before = files_of(store_at(ours))
    for words in ((), ("--dry-run",), ("--json",)):
        done = instrument("import", bundle, *words, store=ours)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
        for part in (f"run {RUN} was removed on 20", "(redaction): gdpr", "17", "--again"):
            assert part in done.stderr
    assert files_of(store_at(ours)) == before
    dry = instrument("import", bundle, "--again", "--dry-run", "--json", store=ours)
    done = instrument("import", bundle, "--again", "--json", store=ours)
    assert (done.returncode, done.stdout) == (0, dry.stdout)
    assert json.loads(done.stdout)["runs"] == [{"id": RUN, "here": RUN, "change": "new"}]
    assert instrument("verify", store=ours).returncode == 0
    once_more = instrument("import", bundle, store=ours)  # it is here: nothing would come back
    assert (once_more.returncode, "same" in once_more.stdout) == (0, True)


def test_a_removed_run_does_not_come_back_under_another_id(ours: Path, tmp_path: Path) -> None:
    theirs, bundle = tmp_path / "theirs", tmp_path / "b"
    full_run(store_at(theirs), weights=b"others")
    bundle_of(store_at(ours), bundle)
    assert instrument("import", str(bundle), store=theirs).returncode == 0
    (renamed,) = {run.id for run in store_at(theirs).runs()} - {RUN}
    bundle_of(store_at(theirs), tmp_path / "c", renamed)
    words = ("runs", "delete", RUN, "--why", "gdpr 17", "--yes")
    assert instrument(*words, store=ours).returncode == 0
    done = instrument("import", str(tmp_path / "c"), store=ours)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert f"run {RUN}, {renamed} in the bundle, was removed" in done.stderr
    with pytest.raises(StoreError, match="was removed"):
        store_at(ours).bundles.import_(bundle)
    store_at(ours).bundles.import_(bundle, again=True)


def test_a_run_that_was_removed_is_named_as_it_was_called_here(ours: Path, tmp_path: Path) -> None:
    theirs, bundle = tmp_path / "theirs", str(bundle_of(store_at(ours), tmp_path / "b"))
    full_run(store_at(theirs), weights=b"others")
    assert instrument("import", bundle, store=theirs).returncode == 0
    (renamed,) = {run.id for run in store_at(theirs).runs()} - {RUN}
    words = ("runs", "delete", renamed, "--why", "gone", "--redact", "--yes")
    assert instrument(*words, store=theirs).returncode == 0
    done = instrument("import", bundle, store=theirs)
    assert done.returncode == 3
    assert f"error: run {renamed}, {RUN} in the bundle, was removed on 20" in done.stderr


def test_where_the_ledger_is_damaged_nobody_knows_what_was_removed(
    redacted: tuple[Path, str],
) -> None:
    ours, bundle = redacted
    assert instrument("ledger", "verify", store=ours).returncode == 0  # nothing waits any more
    for block in (ours / "ledger" / "entries").iterdir():
        block.chmod(0o600)
        block.write_bytes(b"{" + block.read_bytes())
    done = instrument("import", bundle, "--dry-run", store=ours)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "what was removed here is not known; --again" in done.stderr
    done = instrument("import", bundle, "--again", "--dry-run", store=ours)
    assert done.returncode == 0, done.stderr
