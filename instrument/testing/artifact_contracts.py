"""What every store promises about objects and versions."""
# ruff: noqa: D102, S101, PLR2004 - tests: the name is the documentation, and tests assert

import hashlib
import threading
from functools import partial
from pathlib import Path

import pytest

from instrument.errors import NotFoundError, UsageError
from instrument.naming import parse_reference
from instrument.protocols import Draft, Store
from instrument.testing.samples import AT, draft, together
from instrument.vocabulary import File


class ObjectsContract:
    """The promises of `instrument.protocols.Objects`."""

    @pytest.mark.parametrize("data", [b"", b"x", b"line\n" * 100_000])
    def test_bytes_come_back_under_their_digest(self, store: Store, data: bytes) -> None:
        digest = store.put_bytes(data)
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert store.get_bytes(digest) == data
        assert store.contains(digest)
        with store.open(digest) as stream:
            assert stream.read() == data

    def test_putting_the_same_bytes_again_changes_nothing(self, store: Store) -> None:
        first = store.put_bytes(b"same")
        assert store.put_bytes(b"same") == first
        assert store.verify().objects == 1

    def test_threads_may_put_the_same_bytes_at_once(self, store: Store) -> None:
        digests = together([lambda: store.put_bytes(b"x" * 5000)] * 8)
        assert len(set(digests)) == 1
        assert store.get_bytes(digests[0]) == b"x" * 5000

    @pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:..", "../../etc/passwd", ""])
    def test_an_object_that_is_not_there_is_not_found(self, store: Store, digest: str) -> None:
        store.put_bytes(b"another")
        assert not store.contains(digest)
        assert store.path_of(digest) is None
        with pytest.raises(NotFoundError):
            store.get_bytes(digest)
        with pytest.raises(NotFoundError):
            store.open(digest)

    def test_a_path_if_any_holds_the_bytes(self, store: Store) -> None:
        path = store.path_of(store.put_bytes(b"plain"))
        assert path is None or path.read_bytes() == b"plain"

    def test_a_file_is_stored_under_its_own_name(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "modèle 1.bin"
        source.write_bytes(b"w" * 3_000_000)
        file = store.put_file(source)
        digest = f"sha256:{hashlib.sha256(b'w' * 3_000_000).hexdigest()}"
        assert file == File(path="modèle 1.bin", digest=digest, size_bytes=3_000_000)
        assert store.get_bytes(digest) == source.read_bytes()

    def test_a_file_that_changed_is_another_object(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "data"
        source.write_bytes(b"one")
        first = store.put_file(source)
        source.write_bytes(b"two")
        second = store.put_file(source)
        assert store.get_bytes(first.digest) == b"one"
        assert store.get_bytes(second.digest) == b"two"

    def test_many_files_keep_their_order(self, store: Store, tmp_path: Path) -> None:
        contents = [b"one", b"", b"one", b"two" * 100_000]
        paths = [tmp_path / f"{number}.bin" for number in (3, 1, 2, 0)]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        told: list[int] = []
        files = store.put_files(paths, told.append)
        assert files == [store.put_file(path) for path in paths]
        assert [store.get_bytes(file.digest) for file in files] == contents
        assert sum(told) == sum(map(len, contents))
        assert store.verify().objects == 3
        assert store.put_files([]) == []

    def test_one_missing_file_of_many_stores_none(self, store: Store, tmp_path: Path) -> None:
        there = tmp_path / "there"
        there.write_bytes(b"there")
        with pytest.raises(NotFoundError, match="missing"):
            store.put_files([there, tmp_path / "missing"])
        with pytest.raises(NotFoundError):
            store.put_files([there, tmp_path])
        assert store.verify().objects == 0

    def test_what_is_not_a_regular_file_is_not_found(self, store: Store, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "missing"):
            with pytest.raises(NotFoundError):
                store.put_file(path)

    def test_a_file_that_changes_meanwhile_is_stored_as_it_was_read(
        self, store: Store, tmp_path: Path
    ) -> None:
        source = tmp_path / "moving"
        source.write_bytes(b"\0" * 1_000_000)
        stop = threading.Event()

        def scribble() -> None:
            count = 0
            while not stop.is_set():
                count += 1
                with source.open("r+b") as stream:
                    stream.seek(count * 4099 % 1_000_000)
                    stream.write(count.to_bytes(8, "big"))

        writer = threading.Thread(target=scribble)
        writer.start()
        try:
            files = [store.put_file(source) for _ in range(5)]
        finally:
            stop.set()
            writer.join()
        for file in files:
            assert len(store.get_bytes(file.digest)) == file.size_bytes
        assert store.verify().ok


class VersionsContract:
    """The promises of `instrument.protocols.Versions`."""

    def test_versions_count_from_one(self, store: Store) -> None:
        versions = [store.claim(draft("model", content)) for content in (b"a", b"b", b"c")]
        assert [version.ref for version in versions] == ["model:v1", "model:v2", "model:v3"]
        assert [version.aliases for version in versions] == [("latest",)] * 3

    def test_a_version_keeps_what_the_draft_said(self, store: Store) -> None:
        store.claim(draft("base", b"base"))
        wanted = draft(
            "tuned",
            b"t",
            run_id="run-1",
            parents=("base:v1",),
            metadata={"a": [1, None]},
            format="x",
        )
        made = store.claim(wanted)
        assert store.resolve(parse_reference("tuned:v1")) == made
        for field in Draft.__struct_fields__:
            assert getattr(made, field) == getattr(wanted, field), field

    def test_content_that_the_name_has_keeps_its_version(self, store: Store) -> None:
        for content in (b"a", b"b", b"a"):
            again = store.claim(draft("model", content))
        assert again.ref == "model:v1"
        assert again.aliases == ("latest",)
        assert store.resolve(parse_reference("model")).ref == "model:v1"
        assert len(list(store.artifacts("model"))) == 2
        assert store.claim(draft("model", b"c")).ref == "model:v3"
        assert store.resolve(parse_reference("model:latest")).ref == "model:v3"

    def test_the_same_content_under_another_name_is_another_artifact(self, store: Store) -> None:
        assert store.claim(draft("one", b"a")).ref == "one:v1"
        assert store.claim(draft("two", b"a")).ref == "two:v1"

    def test_threads_get_versions_without_gap_or_loss(self, store: Store) -> None:
        drafts = [draft("model", b"%d" % number) for number in range(10)]
        made = together([partial(store.claim, wanted) for wanted in drafts])
        assert sorted(version.version for version in made) == list(range(1, 11))
        kept = list(store.artifacts("model"))
        assert [version.version for version in kept] == list(range(1, 11))
        assert {version.digest for version in kept} == {wanted.digest for wanted in drafts}

    def test_threads_with_the_same_content_get_one_version(self, store: Store) -> None:
        made = together([lambda: store.claim(draft("model", b"same"))] * 10)
        assert {version.ref for version in made} == {"model:v1"}
        assert len(list(store.artifacts("model"))) == 1

    def test_an_alias_moves_and_latest_can_be_rolled_back(self, store: Store) -> None:
        for content in (b"a", b"b"):
            store.claim(draft("model", content))
        assert store.tag(parse_reference("model:v1"), "best", AT).aliases == ("best",)
        assert store.resolve(parse_reference("model:best")).ref == "model:v1"
        assert store.tag(parse_reference("model"), "best", AT).aliases == ("best", "latest")
        store.tag(parse_reference("model:v1"), "latest", AT)
        assert store.resolve(parse_reference("model")).ref == "model:v1"
        assert store.resolve(parse_reference("model:best")).ref == "model:v2"
        store.claim(draft("model", b"c"))
        assert store.resolve(parse_reference("model")).ref == "model:v3"

    def test_what_is_not_there_is_not_found_and_the_message_helps(self, store: Store) -> None:
        for content in (b"a", b"b"):
            store.claim(draft("model", content))
        store.tag(parse_reference("model:v1"), "best", AT)
        for reference in ("model:v3", "model:worst"):
            with pytest.raises(NotFoundError, match=r"v2.*best.*latest"):
                store.resolve(parse_reference(reference))
        with pytest.raises(NotFoundError, match="other"):
            store.resolve(parse_reference("other"))
        with pytest.raises(NotFoundError):
            store.tag(parse_reference("model:v9"), "best", AT)

    def test_a_number_is_that_of_a_version(self, store: Store) -> None:
        for content in (b"a", b"b"):
            store.claim(draft("model", content))
        assert store.resolve(parse_reference("model:1")).ref == "model:v1"
        with pytest.raises(NotFoundError, match="there is no model:v7"):
            store.resolve(parse_reference("model:7"))

    def test_unusable_names_and_parents_are_refused(self, store: Store) -> None:
        store.claim(draft("model", b"a"))
        for name in ("", "../up", "a/b", "-x", "x" * 129):
            with pytest.raises(UsageError):
                store.claim(draft(name, b"a"))
        for alias in ("v7", "V7", "7", "07", "a b", ""):
            with pytest.raises(UsageError):
                store.tag(parse_reference("model"), alias, AT)
        with pytest.raises(NotFoundError):
            store.claim(draft("child", b"a", parents=("nobody:v1",)))
        assert [version.name for version in store.artifacts()] == ["model"]

    def test_all_versions_are_listed_by_name_and_number(self, store: Store) -> None:
        for number in range(12):
            store.claim(draft("many", b"%d" % number))
        store.claim(draft("few", b"x"))
        refs = [version.ref for version in store.artifacts()]
        assert refs == ["few:v1", *(f"many:v{number}" for number in range(1, 13))]
        assert list(store.artifacts("nobody")) == []
