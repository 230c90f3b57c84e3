"""Of two things that want one name both are kept, and every reference still means what it meant."""

from pathlib import Path

import pytest
from bundles.making import (
    DATA,
    RUN,
    WEIGHTS,
    bundle_of,
    forged,
    full_run,
    log,
    logged,
    restamped,
    store_at,
)

from instrument.lineage import build_graph
from instrument.naming import parse_reference
from instrument.records import Metrics
from instrument.testing.samples import AT, process_started, record_run
from instrument_local import LocalStore


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    store = store_at(tmp_path / "ours")
    full_run(store)
    return bundle_of(store, tmp_path / "b")


@pytest.fixture
def theirs(tmp_path: Path) -> LocalStore:
    return store_at(tmp_path / "theirs")


def test_t10_a_run_whose_id_is_taken_comes_under_its_own(bundle: Path, theirs: LocalStore) -> None:
    record_run(theirs, RUN, Metrics(values={"mine": 1.0}, step=0))
    mine = theirs.seal(RUN)
    (run,) = theirs.bundles.import_(bundle).runs
    assert (run.id, run.change) == (RUN, "conflict")
    assert run.here.startswith(f"{RUN}-")
    assert theirs.run(RUN) == mine
    assert theirs.run(run.here).metrics == {"loss": 0.5}
    assert theirs.run(run.here).id == run.here
    assert {each.id for each in theirs.runs()} == {RUN, run.here}
    model = theirs.resolve(parse_reference("model"))
    assert model.run_id == run.here
    assert build_graph(theirs).edge(run.here, "model:v1").kind == "made"
    assert theirs.verify().problems == ()
    (again,) = theirs.bundles.import_(bundle).runs
    assert (again.here, again.change) == (run.here, "same")


def test_t10_a_third_run_of_that_id_is_kept_too(
    bundle: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    record_run(theirs, RUN, Metrics(values={"mine": 1.0}, step=0))
    theirs.seal(RUN)
    first = theirs.bundles.import_(bundle).runs[0].here
    store = store_at(tmp_path / "third")
    record_run(store, RUN, Metrics(values={"third": 1.0}, step=0))

    def claim_origin(manifest: dict[str, object], contents: dict[str, bytes]) -> None:
        manifest["origin"] = theirs_origin
        for path in [each for each in contents if each.startswith("proofs/")]:
            del contents[path]

    theirs_origin = ours_id(bundle)
    other = forged(tmp_path / "c", bundle_of(store, tmp_path / "o"), claim_origin)
    second = theirs.bundles.import_(other).runs[0].here
    assert len({RUN, first, second}) == 3
    assert [theirs.run(each).metrics for each in (RUN, first, second)] == [
        {"mine": 1.0},
        {"loss": 0.5},
        {"third": 1.0},
    ]
    assert theirs.bundles.import_(other).runs[0].change == "same"
    assert theirs.verify().problems == ()


def ours_id(bundle: Path) -> str:
    from bundles.making import taken_apart

    return str(taken_apart(bundle)[0]["origin"])


def test_a_version_whose_number_is_taken_gets_the_next(bundle: Path, theirs: LocalStore) -> None:
    for content in (b"mine 1", b"mine 2"):
        log(theirs, "model", content)
    theirs.tag(parse_reference("model:v1"), "latest", AT)
    brought = theirs.bundles.import_(bundle)
    assert {each.ref: each.here for each in brought.artifacts} == {
        "data:v1": "data:v1",
        "model:v1": "model:v3",
    }
    run = theirs.run(RUN)
    assert (run.inputs, run.outputs) == (["data:v1"], ["model:v3"])
    assert theirs.runs()[0].outputs == ["model:v3"]
    imported = theirs.resolve(parse_reference("model:v3"))
    assert theirs.get_bytes(imported.digest) == WEIGHTS
    assert imported.parents == ("data:v1",)
    assert imported.origin == f"{brought.origin}/model:v1"
    assert theirs.resolve(parse_reference("model")).version == 1  # where its owner left it
    graph = build_graph(theirs)
    assert list(graph.before("model:v3")) == ["data:v1", RUN]
    assert list(graph.before("model:v1")) == []
    assert theirs.verify().problems == ()
    assert log(theirs, "model", b"mine 3").aliases == ("latest",)


def test_content_that_is_here_keeps_its_version_and_latest_its_place(
    bundle: Path, theirs: LocalStore
) -> None:
    for content in (WEIGHTS, b"newer"):
        log(theirs, "model", content)
    brought = theirs.bundles.import_(bundle)
    assert {each.ref: (each.here, each.is_new) for each in brought.artifacts} == {
        "data:v1": ("data:v1", True),
        "model:v1": ("model:v1", False),
    }
    assert theirs.resolve(parse_reference("model")).version == 2
    assert theirs.run(RUN).outputs == ["model:v1"]
    assert theirs.verify().problems == ()


def test_numbers_without_their_predecessors_close_ranks(theirs: LocalStore, tmp_path: Path) -> None:
    store = store_at(tmp_path / "long")
    for number in range(4):
        version = log(store, "model", b"%d" % number)
    record_run(store, RUN, logged(version))
    (artifact,) = theirs.bundles.import_(bundle_of(store, tmp_path / "long.bundle")).artifacts
    assert (artifact.ref, artifact.here) == ("model:v4", "model:v1")
    assert theirs.run(RUN).outputs == ["model:v1"]
    assert theirs.verify().problems == ()


def test_a_run_through_three_stores_means_the_same_everywhere(bundle: Path, tmp_path: Path) -> None:
    here = bundle
    for number in range(3):
        store = store_at(tmp_path / f"hop{number}")
        record_run(store, RUN, Metrics(values={"mine": number}, step=0))
        store.seal(RUN)
        for mine in range(number + 1):
            log(store, "model", b"model %d" % mine)
            log(store, "data", b"data %d" % (mine + 10 * number))
        run = store.bundles.import_(here).runs[0].here
        summary = store.run(run)
        (output,), (used,) = summary.outputs, summary.inputs
        assert output == f"model:v{number + 2}"
        assert store.get_bytes(store.resolve(parse_reference(output)).digest) == WEIGHTS
        assert store.get_bytes(store.resolve(parse_reference(used)).digest) == DATA
        assert str(store.resolve(parse_reference(output)).origin).endswith("/model:v1")
        assert store.verify().problems == ()
        here = bundle_of(store, tmp_path / f"b{number}", run)


def test_a_run_that_another_store_renamed_is_known_at_home(
    bundle: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    record_run(theirs, RUN, Metrics(values={"mine": 1.0}, step=0))
    theirs.seal(RUN)
    renamed = theirs.bundles.import_(bundle).runs[0].here
    ours = store_at(tmp_path / "ours")
    before = [run.id for run in ours.runs()]
    (home,) = ours.bundles.import_(bundle_of(theirs, tmp_path / "back", renamed)).runs
    assert (home.id, home.here, home.change) == (renamed, RUN, "same")
    assert [run.id for run in ours.runs()] == before
    assert ours.verify().problems == ()


def test_two_of_one_name_in_another_order(theirs: LocalStore, tmp_path: Path) -> None:
    """Here the numbers are the other way round: each reference still finds its bytes."""
    store = store_at(tmp_path / "crossed")
    one, two = log(store, "model", b"one"), log(store, "model", b"two")
    record_run(store, RUN, logged(one), logged(two))
    log(theirs, "model", b"two")
    theirs.bundles.import_(bundle_of(store, tmp_path / "b"))
    assert theirs.run(RUN).outputs == ["model:v2", "model:v1"]
    back = store_at(tmp_path / "back")
    back.bundles.import_(bundle_of(theirs, tmp_path / "c"))
    for place in (theirs, back):
        first, second = place.run(RUN).outputs
        assert place.get_bytes(place.resolve(parse_reference(first)).digest) == b"one"
        assert place.get_bytes(place.resolve(parse_reference(second)).digest) == b"two"
        assert place.verify().problems == ()


def test_a_forged_version_cannot_take_the_place_of_content(
    bundle: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    """A version that claims the digest of other files would answer for them later."""
    from instrument.errors import IntegrityError

    def lie(manifest: dict[str, object], contents: dict[str, bytes]) -> None:
        path = "artifacts/model/v1.json"
        contents[path] = restamped(contents[path], digest="sha256:" + "0" * 64)

    with pytest.raises(IntegrityError, match="digest of its files"):
        theirs.bundles.import_(forged(tmp_path / "f", bundle, lie))
    assert not Path(theirs.location).exists()


def test_t10_a_run_that_went_on_in_both_stores_is_kept_twice(
    bundle: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    theirs.bundles.import_(bundle)
    ours = store_at(tmp_path / "ours")
    for store, host in ((ours, "host-a"), (theirs, "host-b")):
        journal = store.begin(process_started(RUN, attempt=2, host=host))
        journal.take(Metrics(values={host: 1.0}, step=2), AT)
        journal.close()
    ours.seal(RUN)  # theirs is not sealed yet: no file of theirs contradicts one of ours
    (run,) = theirs.bundles.import_(bundle_of(ours, tmp_path / "c")).runs
    assert run.change == "conflict"
    assert set(theirs.run(RUN).metrics) == {"loss", "host-b"}
    assert set(theirs.run(run.here).metrics) == {"loss", "host-a"}
    theirs.seal(RUN)
    assert theirs.verify().problems == ()
