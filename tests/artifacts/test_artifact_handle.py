"""An artifact in the hand: paths, copies, verification."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument.artifacts import Artifact, register_serialiser, use
from instrument.artifacts.cache import cache_directory
from instrument.errors import InstrumentError, IntegrityError, NotFoundError, StoreError, UsageError
from instrument.protocols import Store
from instrument.testing.memory import MemoryBackend


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    return path


def damage(store: Store, digest: str) -> None:
    """Change the stored bytes behind the store's back."""
    if isinstance(store, MemoryBackend):
        store._objects[digest] = b"damaged"  # there is no public way to break a store
        return
    lies = store.path_of(digest)
    assert lies is not None
    lies.chmod(0o644)
    lies.write_bytes(b"x" * lies.stat().st_size)


def test_what_it_says_of_itself(log: Any, store: Store) -> None:
    version = log({"a": 1}, name="report", type="evaluation", metadata={"k": 1})
    artifact = use(store, "report")
    assert artifact.version == version
    assert (artifact.ref, artifact.type, artifact.digest) == (
        "report:v1", "evaluation", version.digest,
    )  # fmt: skip
    assert (artifact.files, artifact.metadata) == (version.files, {"k": 1})
    assert "report:v1" in repr(artifact)


def test_references_of_every_kind(log: Any, store: Store) -> None:
    for number in range(11):
        log({"n": number}, name="data")
    assert use(store, "data:latest").load() == {"n": 10}
    assert use(store, "data").ref == "data:v11"
    assert use(store, "data:v2").load() == {"n": 1}
    for missing in ("data:v12", "data:best", "other"):
        with pytest.raises(NotFoundError):
            use(store, missing)
    with pytest.raises(UsageError):
        use(store, "data:v2:x")


def test_a_path_keeps_its_name_and_stays(log: Any, store: Store, rows: Path) -> None:
    artifact = use(store, log(file_path=rows).ref)
    path = artifact.path()
    assert path.name == "rows.csv"
    assert path.read_text() == "a,b\n1,2\n"
    assert artifact.path() == path == use(store, artifact.ref).path()
    assert artifact.load() == path


@pytest.fixture
def ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not root: the permissions of the store's files hold."""
    monkeypatch.setattr(os, "access", lambda *_: False)


@pytest.mark.usefixtures("ordinary_user")
def test_a_file_without_suffix_lies_in_the_store_itself(
    log: Any, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "LICENSE").write_text("free")
    artifact = use(store, log(file_path=tmp_path / "LICENSE").ref)
    assert artifact.path().read_text() == "free"
    lies = store.path_of(artifact.digest)
    if lies is not None:
        assert artifact.path() == lies
        assert not (cache_directory() / "artifacts").exists()


@pytest.mark.usefixtures("ordinary_user")
def test_the_cache_holds_no_second_copy(log: Any, store: Store, rows: Path) -> None:
    artifact = use(store, log(file_path=rows).ref)
    lies = store.path_of(artifact.digest)
    if lies is None:
        assert not artifact.path().stat().st_mode & 0o222
    else:
        assert artifact.path().resolve() == lies.resolve()


@pytest.mark.parametrize("as_tree", [False, True])
def test_damage_is_found_when_it_is_read(
    log: Any, store: Store, rows: Path, tmp_path: Path, *, as_tree: bool
) -> None:
    version = log_tree(log, rows) if as_tree else log(file_path=rows)
    used_before = use(store, version.ref)
    used_before.path()
    shutil.rmtree(cache_directory())
    damage(store, version.files[0].digest)
    for reading in (
        lambda: use(store, version.ref).path(),
        lambda: use(store, version.ref).load(),
        lambda: use(store, version.ref).copy_to(tmp_path / "copy"),
    ):
        with pytest.raises(IntegrityError):
            reading()
    assert not (tmp_path / "copy").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".instrument-")]


def log_tree(log: Any, rows: Path) -> Any:
    root = rows.parent / "tree"
    root.mkdir()
    shutil.copy(rows, root / "rows.csv")
    (root / "other").write_text("other")
    return log(file_path=root)


def test_a_changed_cache_is_made_again(log: Any, store: Store, rows: Path) -> None:
    for version in (log(file_path=rows, name="one"), log_tree(log, rows)):
        path = use(store, version.ref).path()
        target = path / "rows.csv" if version.is_tree else path
        target.unlink()
        target.write_text("forged")
        again = use(store, version.ref).path()
        assert again == path
        assert target.read_text() == "a,b\n1,2\n"
    (path / "extra").write_text("not there before")
    assert use(store, version.ref).path() == path
    assert not (path / "extra").exists()


def test_a_version_whose_files_do_not_match_its_digest_is_refused(
    log: Any, store: Store, rows: Path
) -> None:
    for version in (log({"a": 1}), log_tree(log, rows)):
        files = tuple(
            msgspec.structs.replace(f, digest=f"sha256:{'0' * 64}") for f in version.files
        )
        with pytest.raises(IntegrityError, match=version.ref):
            Artifact(store, msgspec.structs.replace(version, files=files))


def test_a_file_that_leads_out_is_refused(store: Store) -> None:
    from instrument.artifacts.trees import listing
    from instrument.vocabulary import ArtifactVersion, File

    digest = store.put_bytes(b"evil")
    for path in ("../evil", "/evil", "a/../../evil"):
        files = (File(path=path, digest=digest, size_bytes=4),)
        version = ArtifactVersion(
            name="x", version=1, type="other", digest=store.put_bytes(listing(files)),
            size_bytes=4, files=files, is_tree=True, format=None, run_id=None,
            created_at=msgspec.json.decode('"2026-01-01T00:00:00Z"'),
        )  # fmt: skip
        with pytest.raises(IntegrityError, match="leads out"):
            Artifact(store, version)


def test_a_copy_is_the_users_own(log: Any, store: Store, rows: Path, tmp_path: Path) -> None:
    artifact = use(store, log(file_path=rows).ref)
    copy = artifact.copy_to(tmp_path / "new" / "place.csv")
    assert copy.read_text() == "a,b\n1,2\n"
    assert not copy.is_symlink()
    copy.write_text("changed")
    assert use(store, artifact.ref).path().read_text() == "a,b\n1,2\n"


def test_a_copy_never_overwrites_anything_else(
    log: Any, store: Store, rows: Path, tmp_path: Path
) -> None:
    for version in (log(file_path=rows, name="one"), log_tree(log, rows)):
        artifact = use(store, version.ref)
        target = tmp_path / f"copy-{version.name}"
        assert artifact.copy_to(target) == artifact.copy_to(str(target)) == target
        if version.is_tree:
            (target / "mine").write_text("x")
        else:
            target.write_text("mine")
        with pytest.raises(UsageError, match="exists with other content"):
            artifact.copy_to(target)
    assert (target / "mine").read_text() == "x"


def test_a_place_that_cannot_be_written_is_said(log: Any, store: Store, rows: Path) -> None:
    artifact = use(store, log(file_path=rows).ref)
    with pytest.raises(StoreError, match=r"/proc/nothing"):
        artifact.copy_to("/proc/nothing/copy.csv")


def test_a_cache_that_cannot_be_written_is_said(
    log: Any, store: Store, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = use(store, log(file_path=rows).ref)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    with pytest.raises(StoreError, match="XDG_CACHE_HOME"):
        artifact.path()


def test_without_a_setting_the_cache_is_in_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_directory() == tmp_path / ".cache" / "instrument"


def test_threads_may_ask_for_one_path_at_once(log: Any, store: Store, rows: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    version = log_tree(log, rows)
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: use(store, version.ref).path(), range(32)))
    assert len(paths) == 1
    assert sorted(path.name for path in paths.pop().iterdir()) == ["other", "rows.csv"]


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class Reading(Celsius):
    pass


def test_the_users_own_type(log: Any, store: Store) -> None:
    def write(value: Celsius, path: Path) -> None:
        path.write_text(f"{value.degrees}")

    def read(path: Path) -> Celsius:
        assert path.suffix == ".celsius"
        return Celsius(float(path.read_text()))

    with pytest.raises(UsageError, match="Celsius"):
        log(Celsius(1.5))
    register_serialiser(Celsius, suffix=".celsius", write=write, read=read)
    version = log(Reading(1.5), name="outside")
    assert version.format == f"{Celsius.__module__}.Celsius"
    assert version.files[0].path == "outside.celsius"
    assert use(store, version.ref).load().degrees == 1.5


def test_a_type_may_be_registered_by_name_alone(log: Any, store: Store) -> None:
    def write(value: Any, path: Path) -> None:
        path.write_text(value.strftime("%H"))

    register_serialiser("datetime.time", suffix=".hour", write=write, read=Path.read_text)
    import datetime

    artifact = use(store, log(datetime.time(7)).ref)
    assert (artifact.version.format, artifact.load()) == ("datetime.time", "07")


def test_a_format_nobody_registered_can_still_be_read_by_hand(log: Any, store: Store) -> None:
    version = msgspec.structs.replace(log({"a": 1}), format="their.Thing")
    artifact = Artifact(store, version)
    with pytest.raises(UsageError, match=r"register_serialiser\('their.Thing'"):
        artifact.load()
    assert artifact.path().read_bytes() == b'{"a":1}'


@pytest.mark.parametrize(
    ("type_", "suffix"), [(dict, "bin"), (dict, ".a/b"), (str, ".txt"), ("numpy.ndarray", ".x")]
)
def test_what_cannot_be_registered(type_: Any, suffix: str) -> None:
    with pytest.raises(UsageError):
        register_serialiser(type_, suffix=suffix, write=print, read=print)


def test_a_serialiser_that_writes_nothing_is_said(log: Any) -> None:
    class Silent:
        pass

    register_serialiser(Silent, suffix=".x", write=lambda value, path: None, read=print)
    with pytest.raises(InstrumentError, match="wrote no file"):
        log(Silent())


@pytest.mark.parametrize("name", ["rows.csv", "LICENSE"])
def test_what_is_handed_out_cannot_be_used_to_damage_the_store(
    log: Any, store: Store, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("1,2\n")
    version = log(file_path=tmp_path / name)
    path = use(store, version.ref).path()
    with contextlib.suppress(PermissionError), path.open("a") as file:  # root is not stopped
        file.write("written by mistake")
    assert store.verify().ok
    assert use(store, version.ref).path().read_text() == "1,2\n"


def test_in_a_tree_neither(log: Any, store: Store, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_text("a")
    version = log(file_path=tmp_path / "tree")
    with (
        contextlib.suppress(PermissionError),
        use(store, version.ref).path().joinpath("a.txt").open("a") as file,
    ):
        file.write("b")
    assert store.verify().ok


@pytest.mark.skipif(os.getuid() != 0, reason="only root could write to the store's own files")
def test_a_value_is_read_in_place_and_a_copy_is_made_once(
    log: Any, store: Store, rows: Path
) -> None:
    assert use(store, log(data={"n": 1}).ref).load() == {"n": 1}
    assert not (cache_directory() / "copies").exists()
    version = log(file_path=rows, name="rows")
    path = use(store, version.ref).path()
    before = path.stat().st_ino
    assert use(store, version.ref).path().stat().st_ino == before
    lies = store.path_of(version.digest)
    assert lies is None or not path.samefile(lies)
