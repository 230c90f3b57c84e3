"""Rows 1 to 9 and 11 of the threat table: what a hostile or broken bundle cannot do.

Each bundle is made by hand, with all its own checks right unless they are what is tried. It is
refused with one line that names it; nothing outside the store is touched, and nothing in it.
"""

import hashlib
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from bundles.making import (
    RUN,
    WEIGHTS,
    bundle_of,
    files_of,
    forged,
    full_run,
    log,
    outside,
    part_of,
    put_together,
    restamped,
    store_at,
    taken_apart,
)

from instrument.errors import (
    InstrumentError,
    IntegrityError,
    NotFoundError,
    StoreError,
    StoreVersionError,
    UsageError,
)
from instrument.records import Metrics
from instrument.testing.samples import record_run
from instrument_local import LocalStore
from instrument_local.bundles.contents import MAGIC
from instrument_local.bundles.reading import Bundle
from instrument_local.packs.zstd import deflate

Edit = Callable[[dict[str, Any], dict[str, bytes]], None]
HEX = hashlib.sha256(WEIGHTS).hexdigest()
WEIGHTS_PATH = f"objects/{HEX[:2]}/{HEX}"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good")
    store = store_at(root / "store")
    full_run(store)
    return bundle_of(store, root / "bundle")


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[LocalStore]:
    """A store with something in it, which is checked to be as it was, as is what lies around it."""
    store = store_at(tmp_path / "theirs")
    log(store, "mine", b"mine")
    before = files_of(store)
    check = outside(tmp_path)
    yield store
    assert files_of(store) == before
    assert not list(Path(store.location, "tmp").iterdir())
    for path in tmp_path.glob("*.bundle"):
        path.unlink()
    check()
    assert store.verify().problems == ()


def refused(
    store: LocalStore, bundle: Path, match: str, error: type[Exception] = IntegrityError
) -> None:
    with pytest.raises(error, match=match) as caught:
        store.bundles.import_(bundle)
    message = str(caught.value)
    assert str(bundle) in message
    assert message.isprintable()
    with pytest.raises(error, match=match):
        store.bundles.import_(bundle, dry_run=True)


def renamed(good: Path, target: Path, name: str) -> Path:
    def edit(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        contents[name] = contents.pop(WEIGHTS_PATH)

    return forged(target, good, edit)


OUT = (
    "../x", "a/../../x", "/abs", "/etc/passwd", "C:\\x", "\\..\\x", "a//b", ".", "..", "",
    f"objects/../../{HEX}", f"objects//{HEX}", f"/{WEIGHTS_PATH}", f"./{WEIGHTS_PATH}",
    f"{WEIGHTS_PATH}/", f"objects/{HEX[:2]}/../{HEX[:2]}/{HEX}", f"objects\\{HEX[:2]}\\{HEX}",
    f"runs/202603/../{RUN}/run.json", "artifacts/../v1.json", "artifacts/x/../../v1.json",
    f"runs/202603/{RUN}/../run.json", "tmp/x", "FORMAT", "ledger/heads/000000000001.json",
    f"packs/{HEX}.pack", "open/x.json", "maintenance/1.json", f"proofs/../{RUN}.tlog-proof",
)  # fmt: skip


@pytest.mark.parametrize("name", OUT)
def test_t01_a_path_that_leads_out_is_refused(
    good: Path, theirs: LocalStore, tmp_path: Path, name: str
) -> None:
    refused(theirs, renamed(good, tmp_path / "x.bundle", name), "no path that a bundle may name")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "a\0b"])
def test_t01_nor_may_a_file_of_an_artifact_lead_out(
    good: Path, theirs: LocalStore, tmp_path: Path, path: str
) -> None:
    def edit(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        name = "artifacts/model/v1.json"
        file = {"path": path, "digest": f"sha256:{HEX}", "size_bytes": len(WEIGHTS)}
        listing = f"{HEX}  {path}\n".encode()
        digest = f"sha256:{hashlib.sha256(listing).hexdigest()}"
        contents[name] = restamped(contents[name], files=[file], is_tree=True, digest=digest)

    refused(theirs, forged(tmp_path / "x.bundle", good, edit), "leads out")


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "symlink", "target": "/etc/passwd"},
        {"mode": 0o4755},
        {"type": "fifo"},
        {"type": "device", "device": [8, 0]},
    ],
)
def test_t02_nothing_but_plain_bytes_can_be_said(
    good: Path, tmp_path: Path, fields: dict[str, Any]
) -> None:
    """The format has no types, modes, links or devices; what says one is passed over."""
    manifest, contents = taken_apart(good)
    parts = [part_of([each]) for each in contents.items()]
    for part, _ in parts:
        for listed in part["contents"]:
            listed.update(fields)
    bundle = put_together(tmp_path / "x.bundle", manifest, parts)
    store = store_at(tmp_path / "store")
    store.bundles.import_(bundle)
    for path in Path(store.location).rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISDIR(mode) or stat.S_ISREG(mode)
        assert stat.S_IMODE(mode) in {0o700, 0o600, 0o444}
    assert store.verify().problems == ()


@pytest.mark.parametrize("make", ["tar", "zip", "fifo", "device", "directory", "nothing"])
def test_t02_what_is_no_bundle_is_refused_and_does_not_hang(
    theirs: LocalStore, tmp_path: Path, make: str
) -> None:
    path = tmp_path / "x.bundle"
    if make == "tar":
        with tarfile.open(path, "w") as tar:
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc"
            tar.addfile(link)
    elif make == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../evil", b"x")
    elif make == "fifo":
        path = tmp_path / "outside" / "fifo"
        os.mkfifo(path)
    elif make == "device":
        path = Path("/dev/zero")
    elif make == "directory":
        path = tmp_path / "outside"
    else:
        path = tmp_path / "not there"
    error = IntegrityError if make in {"tar", "zip"} else NotFoundError
    try:
        refused(theirs, path, "bundle", error)
    finally:
        (tmp_path / "outside" / "fifo").unlink(missing_ok=True)


def test_t03_links_in_the_store_are_not_followed(good: Path, tmp_path: Path) -> None:
    """The chain would have to lie in the store already; then what it leads to stays as it was."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "passwd").write_text("sentinel")
    store = store_at(tmp_path / "theirs")
    log(store, "mine", b"mine")
    root = Path(store.location)
    (root / "objects" / HEX[:2]).mkdir(exist_ok=True)
    (root / WEIGHTS_PATH).symlink_to(place / "passwd")
    (root / "runs").mkdir(exist_ok=True)
    (root / "runs/202603").mkdir()
    (root / f"runs/202603/{RUN}").symlink_to(place)
    try:
        store.bundles.import_(good)
    except InstrumentError as error:
        message = str(error)
    else:
        message = ""
    assert message.isprintable()
    assert (place / "passwd").read_text() == "sentinel"
    assert [path.name for path in place.iterdir()] == ["passwd"]


def test_t03_no_chain_of_long_paths_can_be_said(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    chain = "/".join(["d" * 247] * 16 + [".."] * 16)
    refused(theirs, renamed(good, tmp_path / "x.bundle", chain), "no path that a bundle may name")


@pytest.mark.parametrize("how", ["same", "folded", "twice in a part"])
def test_t04_two_of_one_name_are_refused(
    good: Path, theirs: LocalStore, tmp_path: Path, how: str
) -> None:
    manifest, contents = taken_apart(good)
    listed = list(contents.items())
    version = contents["artifacts/model/v1.json"]
    name = "artifacts/Model/v1.json" if how == "folded" else "artifacts/model/v1.json"
    if how == "twice in a part":
        parts = [part_of([*listed, (name, version)])]
    else:
        parts = [part_of([each]) for each in [*listed, (name, version)]]
    bundle = put_together(tmp_path / "x.bundle", manifest, parts)
    refused(theirs, bundle, "named twice, or differs in case alone")


def test_t04_names_that_unicode_makes_equal_cannot_be_said(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    for number, name in enumerate(
        ("caf\u00e9", "cafe\u0301", "\u212aelvin", "\ufb01le", "\uff4dodel")
    ):
        bundle = renamed(good, tmp_path / f"{number}.bundle", f"artifacts/{name}/v1.json")
        refused(theirs, bundle, "no path that a bundle may name")


ODD = (
    "a\0b",
    "a\nb",
    "a\x1b[31mb",
    "\u202egpj.exe",
    "x" * 300,
    "a b",
    "\ud800",
    "-rf",
    "a\tb",
    "%2e",
)


@pytest.mark.parametrize("name", ODD)
def test_t05_odd_names_are_refused_and_shown_escaped(
    good: Path, theirs: LocalStore, tmp_path: Path, name: str
) -> None:
    for number, path in enumerate(
        (f"artifacts/{name}/v1.json", f"runs/202603/{RUN}/{name}.jsonl", name)
    ):
        bundle = renamed(good, tmp_path / f"{number}.bundle", path)
        refused(theirs, bundle, "no path that a bundle may name|damaged")


def test_t05_a_name_that_is_not_utf_8_is_refused(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    from instrument_local.stamps import stamp

    data = good.read_bytes()
    length = int(data[-17:])
    line = data[-17 - length : -17]
    body = line[: line.rindex(b',"check"')].replace(b"artifacts/model", b"artifacts/mod\xff\xfe")
    broken = stamp(body + b"}")
    path = tmp_path / "x.bundle"
    path.write_bytes(data[: -17 - length] + broken + b"%016d\n" % len(broken))
    refused(theirs, path, "damaged")


def zeros(size: int) -> bytes:
    return b"".join(deflate([bytes(1 << 20)] * (size >> 20)))


def bomb(target: Path, good: Path, frame: bytes, claimed: int, **fields: Any) -> Path:
    manifest, contents = taken_apart(good)
    parts = [part_of([each]) for each in contents.items()]
    sha256 = "0" * 64
    listed = {"path": f"objects/00/{sha256}", "size_bytes": claimed, "sha256": sha256}
    part = {
        "coding": "zstd",
        "size_bytes": len(frame),
        "sha256": hashlib.sha256(frame).hexdigest(),
        "contents": [listed],
    }
    return put_together(target, manifest, [*parts, (part | fields, frame)])


def test_t06_a_bomb_is_refused_before_it_is_unpacked(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    frame = zeros(200 << 20)
    assert len(frame) < 30_000
    refused(theirs, bomb(tmp_path / "x.bundle", good, frame, 200 << 20), "decompression bomb")


def test_t06_a_frame_gives_out_no_more_than_it_says(
    good: Path, theirs: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = zeros(200 << 20)
    bundle = bomb(tmp_path / "x.bundle", good, frame, 1 << 20)
    given_out = 0
    chunks = Bundle.chunks

    def counted(self: Bundle, content: Any) -> Iterator[bytes]:
        nonlocal given_out
        for chunk in chunks(self, content):
            given_out += len(chunk)
            yield chunk

    monkeypatch.setattr(Bundle, "chunks", counted)
    refused(theirs, bundle, "more than 1048576 bytes")
    assert given_out < 4 << 20


def test_t06_a_million_names_are_too_many(
    good: Path, theirs: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from instrument_local.bundles import contents

    bundle = forged(tmp_path / "x.bundle", good, lambda *_: None)
    monkeypatch.setattr(contents, "MAX_CONTENTS", 10)
    refused(theirs, bundle, "10 are the most")
    line = b'{"a":"' + b"x" * (65 << 20) + b'"}'
    path = tmp_path / "long.bundle"
    path.write_bytes(MAGIC + line + b"%016d\n" % len(line))
    refused(theirs, path, "its end is damaged")


def test_t06_more_than_the_disk_holds_is_refused_before_anything_is_written(
    good: Path, theirs: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 0, 100))
    with pytest.raises(StoreError, match="make room"):
        theirs.bundles.import_(good)


def test_t06_many_small_files_in_a_long_part_are_refused(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    """Each would have to be unpacked from the start."""
    manifest, contents = taken_apart(good)
    many = [(f"objects/00/{number:064x}", bytes(1024)) for number in range(2000)]
    parts = [part_of([each]) for each in contents.items()]
    bundle = put_together(tmp_path / "x.bundle", manifest, [*parts, part_of(many)])
    refused(theirs, bundle, "holds too much in one")


def test_t06_a_bundle_in_a_bundle_is_just_bytes(good: Path, tmp_path: Path) -> None:
    store, other = store_at(tmp_path / "a"), store_at(tmp_path / "b")
    record_run(store, RUN, Metrics(values={}, step=0))
    from bundles.making import logged

    record_run(store, "20260304-inner", logged(log(store, "inner", good.read_bytes())))
    other.bundles.import_(bundle_of(store, tmp_path / "x.bundle", "20260304-inner"))
    assert [run.id for run in other.runs()] == ["20260304-inner"]


def test_t06_a_line_without_an_end_does_not_fill_the_memory(
    good: Path, theirs: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from instrument_local.bundles import reading

    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1 << 20)

    def edit(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        (journal,) = [path for path in contents if path.endswith(".jsonl")]
        contents[journal] = b"x" * (3 << 20)

    refused(theirs, forged(tmp_path / "x.bundle", good, edit), "a line of more than")


def lying(good: Path, target: Path, **fields: Any) -> Path:
    """A bundle whose first part says something else of itself."""
    manifest, contents = taken_apart(good)
    (part, data), *rest = [part_of([each]) for each in contents.items()]
    return put_together(target, manifest, [(part | fields, data), *rest])


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**62])
def test_t07_sizes_that_do_not_fit_are_refused(
    good: Path, theirs: LocalStore, tmp_path: Path, size: int
) -> None:
    refused(theirs, lying(good, tmp_path / "1.bundle", size_bytes=size), "offset 20|parts end")
    refused(theirs, lying(good, tmp_path / "2.bundle", size_bytes=-1), "offset 20")
    refused(theirs, lying(good, tmp_path / "3.bundle", size_bytes=2**63), "damaged|cannot be")


def test_t07_parts_cannot_overlap(good: Path, theirs: LocalStore, tmp_path: Path) -> None:
    """They have no offsets; one that is longer than it is would run into the next."""
    manifest, contents = taken_apart(good)
    parts = [part_of([each]) for each in contents.items()]
    one, two = parts[0][0], parts[1][0]
    for part, by in ((one, 1), (two, -1)):
        part["size_bytes"] += by
        part["contents"][0]["size_bytes"] += by
    bundle = put_together(tmp_path / "x.bundle", manifest, parts)
    refused(theirs, bundle, "was changed or cut off")
    data = good.read_bytes()
    (tmp_path / "gap.bundle").write_bytes(data[:20] + b"gap" + data[20:])
    refused(theirs, tmp_path / "gap.bundle", "parts end at offset")
    (tmp_path / "tail.bundle").write_bytes(data + b"tail")
    refused(theirs, tmp_path / "tail.bundle", "its end is damaged")


@pytest.mark.parametrize("sixty_fourth", range(64))
def test_t07_cut_off_anywhere_it_is_refused(
    good: Path, theirs: LocalStore, tmp_path: Path, sixty_fourth: int
) -> None:
    data = good.read_bytes()
    path = tmp_path / "x.bundle"
    path.write_bytes(data[: len(data) * sixty_fourth // 64])
    refused(theirs, path, "offset|begins with")


@pytest.mark.parametrize(
    "every", [5, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.faults])]
)
def test_t07_every_changed_byte_is_found(good: Path, tmp_path: Path, every: int) -> None:
    data = bytearray(good.read_bytes())
    path = tmp_path / "x.bundle"
    store = store_at(tmp_path / "store")
    for position in range(0, len(data), every):
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        with pytest.raises((IntegrityError, StoreVersionError)):
            store.bundles.import_(path, dry_run=True)
        data[position] ^= 1 << position % 8
    path.write_bytes(data)
    store.bundles.import_(path, dry_run=True)
    assert not Path(store.location).exists()


def test_t07_after_a_refusal_the_whole_bundle_comes(good: Path, tmp_path: Path) -> None:
    store = store_at(tmp_path / "store")
    cut = tmp_path / "x.bundle"
    cut.write_bytes(good.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        store.bundles.import_(cut)
    store.bundles.import_(good)
    assert store.verify().problems == ()


def test_t08_content_that_is_not_what_it_is_named_is_refused(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    def other_bytes(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        contents[WEIGHTS_PATH] = b"evil weights"

    refused(theirs, forged(tmp_path / "1.bundle", good, other_bytes), "is said to be")
    manifest, contents = taken_apart(good)
    parts = []
    for path, data in contents.items():
        part, stored = part_of([(path, b"x" * len(data) if path == WEIGHTS_PATH else data)])
        if path == WEIGHTS_PATH:
            part["contents"][0]["sha256"] = HEX
        parts.append((part, stored))
    refused(theirs, put_together(tmp_path / "2.bundle", manifest, parts), f"not sha256:{HEX}")


def journal_of(contents: dict[str, bytes]) -> str:
    return next(path for path in contents if path.endswith(".jsonl"))


SEAL, PROOF = f"runs/202603/{RUN}/run.json", f"proofs/{RUN}.tlog-proof"
MODEL, DATA_PATH = "artifacts/model/v1.json", "artifacts/data/v1.json"


def without(path: str | None) -> Edit:
    return lambda _, contents: contents.__delitem__(path or journal_of(contents))


def changed(path: str | None, old: bytes, new: bytes) -> Edit:
    def edit(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        where = path or journal_of(contents)
        assert old in contents[where]
        contents[where] = contents[where].replace(old, new)

    return edit


def stamped(path: str, source: str | None = None, **fields: Any) -> Edit:
    def edit(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        contents[path] = restamped(contents[source or path], **fields)

    return edit


def said(**fields: Any) -> Edit:
    return lambda manifest, _: manifest.update(fields)


def cut(_: dict[str, Any], contents: dict[str, bytes]) -> None:
    journal = journal_of(contents)
    contents[journal] = b"".join(contents[journal].splitlines(keepends=True)[:-1])


def more(_: dict[str, Any], contents: dict[str, bytes]) -> None:
    contents[journal_of(contents)] += b'{"seq":99,"torn'


def other_run(manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    for path in [path for path in contents if RUN in path]:
        contents[path.replace(RUN, f"{RUN[:-1]}b")] = contents.pop(path)
    manifest["runs"] = [f"{RUN[:-1]}b"]


CONTRADICTIONS: list[tuple[Edit, str]] = [
    (changed(None, b'"loss":0.5', b'"loss":0.1'), "line .* was changed"),
    (cut, "sealed another"),
    (more, "sealed another"),
    (without(SEAL), "no seal that covers"),
    (without(None), "two journals of one name, or none"),
    (stamped(SEAL, journals=[]), "no seal"),
    (other_run, "was changed|is of run"),
    (without(MODEL), "model:v1' is referred to and not there"),
    (without(DATA_PATH), "data:v1' is referred to and not there"),
    (without(WEIGHTS_PATH), f"{HEX}' is referred to and not there"),
    (changed(MODEL, b'"version":1', b'"version":2'), "damaged"),
    (stamped(MODEL, name="data"), "holds"),
    (stamped(MODEL, DATA_PATH, name="model"), "not what its runs say"),
    (stamped(DATA_PATH, parents=["model:v1"]), "made from itself"),
    (said(runs=[]), "does not hold the runs"),
    (said(runs=[RUN, "20260304-more"]), "does not hold the runs"),
    (changed(PROOF, b"index 1", b"index 2"), "no entry 2 in a tree"),
    (said(origin="another"), "about something else"),
]


@pytest.mark.parametrize(("edit", "match"), CONTRADICTIONS)
def test_t08_records_seals_and_versions_must_agree(
    good: Path, theirs: LocalStore, tmp_path: Path, edit: Edit, match: str
) -> None:
    refused(theirs, forged(tmp_path / "x.bundle", good, edit), match)


@pytest.mark.parametrize(
    "fields",
    [{"format": 2}, {"requires": ["encryption"]}, {"format": 99, "requires": ["x\x1b[31m"]}],
)
def test_t09_a_newer_bundle_is_refused_before_its_data_is_read(
    good: Path,
    theirs: LocalStore,
    tmp_path: Path,
    fields: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def edit(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        manifest.update(fields, unknown={"to": "us"})

    bundle = forged(tmp_path / "x.bundle", good, edit)
    monkeypatch.delattr(Bundle, "chunks")
    refused(theirs, bundle, "install a newer instrument-ml", StoreVersionError)


def test_t09_another_magic_is_another_format(
    good: Path, theirs: LocalStore, tmp_path: Path
) -> None:
    path = tmp_path / "x.bundle"
    for magic in (b"instrument bundle 2\n", b"instrument bundle 10"):
        path.write_bytes(good.read_bytes().replace(MAGIC, magic, 1))
        refused(theirs, path, "install a newer instrument-ml", StoreVersionError)
    path.write_bytes(good.read_bytes().replace(MAGIC, b"instrument bundle 1\x80", 1))
    refused(theirs, path, "it begins with")


def test_t09_what_a_newer_writer_adds_is_passed_over(good: Path, tmp_path: Path) -> None:
    def edit(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        manifest["remark"] = "of a later time"

    store = store_at(tmp_path / "store")
    store.bundles.import_(forged(tmp_path / "x.bundle", good, edit))
    assert store.verify().problems == ()


def test_t10_a_seal_that_tells_what_its_journals_do_not_is_refused(
    good: Path, tmp_path: Path
) -> None:
    def lie(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        (path,) = (path for path in contents if path.endswith(f"{RUN}/run.json"))
        run = json.loads(contents[path])["run"]
        contents[path] = restamped(contents[path], run=run | {"metrics": {"loss": 0.0}})
        del contents[f"proofs/{RUN}.tlog-proof"]

    store = store_at(tmp_path / "store")
    with pytest.raises(IntegrityError, match=r"tells its metrics otherwise than its journals"):
        store.bundles.import_(forged(tmp_path / "x.bundle", good, lie))
    assert not Path(store.location).exists()


def test_t11_signatures(tmp_path: Path) -> None:
    store, theirs = store_at(tmp_path / "ours"), store_at(tmp_path / "theirs")
    full_run(store)
    record_run(store, "20260304-late", Metrics(values={}, step=0))
    ann = store.ledger.new_key(tmp_path / "ann", "ann@lab", None)
    bob = store.ledger.new_key(tmp_path / "bob", "bob@lab", None)
    unsigned = bundle_of(store, tmp_path / "unsigned")

    def check(bundle: Path, *keys: str) -> str | None:
        return theirs.bundles.import_(bundle, keys=keys, dry_run=True).verified

    with pytest.raises(IntegrityError, match="none of the given keys signed for run"):
        check(unsigned, ann)
    assert check(unsigned) == "proof"
    store.ledger.sign(tmp_path / "ann", None)
    signed = bundle_of(store, tmp_path / "signed")
    with pytest.raises(IntegrityError, match="none of the given keys"):
        check(signed, bob)
    with pytest.raises(UsageError, match="no public key"):
        check(signed, "nonsense")
    with pytest.raises(IntegrityError, match="none of the given keys"):
        check(bundle_of(store, tmp_path / "late", RUN, "20260304-late"), ann)
    assert not Path(theirs.location).exists()
    assert check(signed, bob, ann) == "signed by ann@lab"
    assert theirs.bundles.import_(signed, keys=[ann]).verified == "signed by ann@lab"


def test_t11_no_proof_is_an_unverified_origin(good: Path, tmp_path: Path) -> None:
    def edit(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        del contents[f"proofs/{RUN}.tlog-proof"]

    store = store_at(tmp_path / "store")
    assert store.bundles.import_(forged(tmp_path / "x.bundle", good, edit)).verified is None


def test_t11_nothing_unsigned_comes_along_with_what_is_signed(tmp_path: Path) -> None:
    store, theirs = store_at(tmp_path / "ours"), store_at(tmp_path / "theirs")
    full_run(store)
    ann = store.ledger.new_key(tmp_path / "ann", "ann@lab", None)
    store.ledger.sign(tmp_path / "ann", None)
    evil = b"evil"
    sha256 = hashlib.sha256(evil).hexdigest()

    def smuggle(_: dict[str, Any], contents: dict[str, bytes]) -> None:
        file = {"path": "data", "digest": f"sha256:{sha256}", "size_bytes": len(evil)}
        version = contents["artifacts/model/v1.json"]
        contents["artifacts/model/v2.json"] = restamped(
            version, version=2, files=[file], digest=f"sha256:{sha256}", size_bytes=len(evil)
        )
        contents[f"objects/{sha256[:2]}/{sha256}"] = evil

    bundle = forged(tmp_path / "x.bundle", bundle_of(store, tmp_path / "b"), smuggle)
    assert theirs.bundles.import_(bundle, dry_run=True).verified == "proof"
    with pytest.raises(IntegrityError, match="no signed run vouches for model:v2"):
        theirs.bundles.import_(bundle, keys=[ann])


@hypothesis.settings(max_examples=300)
@hypothesis.given(data=st.data())
def test_noise_is_refused_in_one_line(
    good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut, repeat, insert, overwrite: what comes of it is the bundle, or is refused cleanly."""
    whole = good.read_bytes()
    mutated = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(mutated)))
        end = data.draw(st.integers(start, min(len(mutated), start + 200)))
        noise = data.draw(st.one_of(st.binary(max_size=40), st.just(bytes(mutated[start:end]) * 2)))
        mutated[start:end] = noise
    _try(bytes(mutated), whole, tmp_path_factory)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=8), each, max_size=4)
    ),
    max_leaves=8,
)


@hypothesis.settings(max_examples=300)
@hypothesis.given(data=st.data())
def test_any_manifest_is_refused_in_one_line(
    good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The checks of the bundle itself are right; what it says is anything."""
    manifest, contents = taken_apart(good)
    parts = [part_of([each]) for each in contents.items()]
    for _ in range(data.draw(st.integers(1, 3))):
        target: Any = data.draw(st.sampled_from([manifest, *(part for part, _ in parts)]))
        if "contents" in target and data.draw(st.booleans()):
            target = target["contents"]
            target = target[0] if isinstance(target, list) and target else target
        if isinstance(target, dict):
            key = data.draw(st.sampled_from([*target, "new"]))
            target[key] = data.draw(_json)
    path = tmp_path_factory.mktemp("any") / "bundle"
    put_together(path, manifest, parts)
    # A member that nobody knows changes nothing.
    _try(path.read_bytes(), good.read_bytes(), tmp_path_factory, may_be_good=True)


def _try(
    mutated: bytes, whole: bytes, factory: pytest.TempPathFactory, *, may_be_good: bool = False
) -> None:
    root = factory.mktemp("noise")
    (root / "bundle").write_bytes(mutated)
    store = store_at(root / "store")
    try:
        store.bundles.import_(root / "bundle", dry_run=True)
    except InstrumentError as error:
        message = str(error)
    else:
        message = ""
    assert message.isprintable()
    assert bool(message) or may_be_good or mutated == whole
    assert not (root / "store").exists()
