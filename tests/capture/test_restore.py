"""Every kind of tree comes back byte for byte on another path, from the record alone."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from capture.repositories import git, given_back, kept, make_repository, round_trip, tree

from instrument.capture.manifest import read_manifest
from instrument.errors import IntegrityError, NotFoundError, UsageError

EVERY_BYTE = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def write(root: Path, name: str | bytes, content: bytes, *, executable: bool = False) -> None:
    path = root / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if executable else 0o644)


def base(path: Path) -> Path:
    root = make_repository(
        path,
        {
            "a.txt": b"one\ntwo\nthree\n",
            "dir/b.txt": b"deep\n",
            "binary.bin": EVERY_BYTE,
            "run.sh": b"#!/bin/sh\n",
            "empty": b"",
            "crlf.txt": b"a\r\nb\r\n",
            "bare-end": b"no newline",
        },
    )
    (root / "link").symlink_to("a.txt")
    git(root, "add", "link")
    git(root, "commit", "--quiet", "--message=link")
    return root


def staged_then_changed(root: Path) -> None:
    write(root, "a.txt", b"staged\n")
    git(root, "add", "a.txt")
    write(root, "a.txt", b"then changed\n")


def staged_then_removed(root: Path) -> None:
    write(root, "new", b"x\n")
    git(root, "add", "new")
    (root / "new").unlink()


def removed_from_the_index_only(root: Path) -> None:
    git(root, "rm", "--quiet", "--cached", "a.txt")
    write(root, "a.txt", b"still here\n")


def renamed(root: Path) -> None:
    git(root, "mv", "binary.bin", "elsewhere.bin")
    git(root, "mv", "dir/b.txt", "b.txt")
    write(root, "b.txt", b"renamed and changed\n")


def renamed_in_case_only(root: Path) -> None:
    git(root, "mv", "a.txt", "A.txt")
    (root / "dir").rename(root / "DIR")


def modes(root: Path) -> None:
    (root / "run.sh").chmod(0o755)
    write(root, "tool", b"x", executable=True)


def file_to_directory(root: Path) -> None:
    (root / "a.txt").unlink()
    write(root, "a.txt/inside/deep", b"x\n")


def directory_to_file(root: Path) -> None:
    shutil.rmtree(root / "dir")
    write(root, "dir", b"now a file\n")


def directory_to_link(root: Path) -> None:
    (root / "dir").rename(root / "other")
    (root / "dir").symlink_to("other")


def link_to_directory(root: Path) -> None:
    (root / "link").unlink()
    write(root, "link/x", b"x\n")


def links(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("run.sh")
    (root / "dangling").symlink_to("no/where")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to("dir")
    (root / "run.sh").unlink()
    (root / "run.sh").symlink_to(b"\xff\n".decode("latin-1"))


def intent_to_add(root: Path) -> None:
    write(root, "soon", b"x\n")
    git(root, "add", "--intent-to-add", "soon")


def odd_names(root: Path) -> None:
    names = (
        b"a b", b" lead", b"trail ", b"new\nline", b"tab\t", b'"quoted"', b"back\\slash", b"-dash",
        b":(glob)*", b"*.txt", b"[x]", "ü 漢字".encode(), b"\xff\xfe", b"d\xe9r/f\xfc", b"a => b",
        b"{x => y}", b"\x01\x7f", b"~", b"a.txt b/a.txt", b"b/b b/b",
    )  # fmt: skip
    for name in names:
        write(root, name, b"content of " + name)


def ends_of_lines(root: Path) -> None:
    write(root, "crlf.txt", b"a\nb\r\nc\r")
    write(root, "bare-end", b"still no newline")
    write(root, "empty", b"no longer\r\n")
    write(root, "new", b"\r\n\r\n")
    write(root, "new-empty", b"")


def before_a_merge_is_done(root: Path) -> None:
    git(root, "checkout", "--quiet", "-b", "side")
    write(root, "a.txt", b"side\n")
    git(root, "mv", "dir/b.txt", "dir/side.txt")
    git(root, "commit", "--quiet", "--all", "--message=side")
    git(root, "checkout", "--quiet", "main")
    write(root, "a.txt", b"main\n")
    git(root, "mv", "dir/b.txt", "dir/main.txt")
    git(root, "commit", "--quiet", "--all", "--message=main")
    with pytest.raises(AssertionError):
        git(root, "merge", "--quiet", "side")


def assume_unchanged(root: Path) -> None:
    git(root, "update-index", "--assume-unchanged", "a.txt")
    git(root, "update-index", "--skip-worktree", "run.sh", "bare-end")
    write(root, "a.txt", b"not so\n")
    write(root, "run.sh", b"not so either\n")
    (root / "bare-end").unlink()


def everything_gone(root: Path) -> None:
    for path in root.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


CHANGES: tuple[Callable[[Path], None], ...] = (
    staged_then_changed, staged_then_removed, removed_from_the_index_only, renamed,
    renamed_in_case_only, modes, file_to_directory, directory_to_file, directory_to_link,
    link_to_directory, links, intent_to_add, odd_names, ends_of_lines, before_a_merge_is_done,
    assume_unchanged, everything_gone,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_comes_back(tmp_path: Path, change: Callable[[Path], None]) -> None:
    root = base(tmp_path / "r")
    change(root)
    assert round_trip(root, tmp_path / "back").commit == git(root, "rev-parse", "HEAD")


def conversions(root: Path, attributes: bytes, **settings: str) -> None:
    for name, value in settings.items():
        git(root, "config", f"core.{name}", value)
    write(root, ".gitattributes", attributes)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=attributes")


@pytest.mark.parametrize(
    ("attributes", "settings"),
    [
        (b"* text=auto\n", {}),
        (b"* text\n", {}),
        (b"*.txt eol=crlf\n", {}),
        (b"*.txt working-tree-encoding=UTF-16LE\n", {}),
        (b"*.txt ident\n", {}),
        (b"*.txt binary\n", {}),
        (b"", {"autocrlf": "true"}),
        (b"", {"autocrlf": "input"}),
        (b"*.txt -diff\n*.bin diff\n", {}),
    ],
)
def test_conversions_play_no_part(
    tmp_path: Path, attributes: bytes, settings: dict[str, str]
) -> None:
    root = make_repository(
        tmp_path / "r",
        {"crlf.txt": b"a\r\nb\r\n", "lf.txt": b"a\nb\n", "id.txt": b"$Id$\n", "x.bin": EVERY_BYTE},
    )
    encoded = "ends\r\nmixed\nü\n".encode("utf-16-le" if b"UTF-16" in attributes else "utf-8")
    if b"UTF-16" in attributes:
        for name in ("crlf.txt", "lf.txt", "id.txt"):
            write(root, name, encoded)
    conversions(root, attributes, **settings)
    for name in ("crlf.txt", "lf.txt", "id.txt"):  # as a fresh checkout writes them
        (root / name).unlink()
    git(root, "checkout", "--", ".")
    write(root, "clean-but-other-bytes.txt", encoded)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=mixed")
    write(root, "untracked.txt", encoded)
    write(root, "lf.txt", encoded * 2)
    round_trip(root, tmp_path / "back")


def test_a_filter_of_the_user_plays_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text('[filter "half"]\n\tclean = head -c 3\n\tsmudge = sed p\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    root = make_repository(
        tmp_path / "r", {"a.dat": b"123", ".gitattributes": b"*.dat filter=half"}
    )
    write(root, "a.dat", b"4567\n")
    write(root, "b.dat", b"4567\n")
    round_trip(root, tmp_path / "back")


def lfs_repository(path: Path, pointer_file: Path) -> tuple[Path, bytes]:
    """A repository as `git lfs` leaves it: a pointer is committed, the content lies in the tree."""
    content = os.urandom(30_000)
    digest = hashlib.sha256(content).hexdigest()
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    )
    root = make_repository(
        path, {".gitattributes": b"*.bin filter=lfs -text\n", "m.bin": pointer.encode()}
    )
    held = root / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    held.parent.mkdir(parents=True)
    held.write_bytes(content)
    (root / "m.bin").write_bytes(content)
    pointer_file.write_text(pointer)
    git(root, "-c", f"filter.lfs.clean=cat {pointer_file}", "add", "m.bin")
    return root, content


def test_what_git_lfs_holds_comes_from_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = tmp_path / "pointer"
    root, content = lfs_repository(tmp_path / "r", pointer)
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[filter "lfs"]\n\tclean = cat {pointer}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    what = kept(root)
    assert what.code.git is not None
    assert (what.code.git.dirty, what.code.git.lfs_files, what.code.git.lfs_pointers) == (
        False,
        1,
        0,
    )
    assert sum(map(len, what.objects.values())) < 2000, "the content is not stored again"
    back = given_back(what, tmp_path / "back", root)
    assert not back.differing
    assert (tmp_path / "back" / "m.bin").read_bytes() == content
    shutil.rmtree(root / ".git" / "lfs")
    assert given_back(what, tmp_path / "again", root).differing == ("m.bin",)
    shutil.copyfile(pointer, root / "m.bin")
    pointers = kept(root).code.git
    assert pointers is not None
    assert pointers.lfs_pointers == 1


def with_submodules(path: Path) -> Path:
    """outer/lib and outer/lib/deep are submodules, outer/bare one that is not checked out."""
    deep = make_repository(path / "deep", {"d": b"1\n"})
    inner = make_repository(path / "inner", {"a": b"1\n", "gone": b"1\n"})
    git(inner, "submodule", "--quiet", "add", str(deep), "deep")
    git(inner, "commit", "--quiet", "--message=deep")
    outer = make_repository(path / "outer", {"x": b"1\n"})
    for name in ("lib", "bare"):
        git(outer, "submodule", "--quiet", "add", str(inner), name)
    git(outer, "submodule", "--quiet", "update", "--init", "--recursive", "lib")
    git(outer, "commit", "--quiet", "--message=sub")
    git(outer, "submodule", "--quiet", "deinit", "--force", "bare")
    return outer


def test_submodules_come_back_with_what_differs_in_them(tmp_path: Path) -> None:
    outer = with_submodules(tmp_path)
    write(outer, "lib/a", b"2\n")
    (outer / "lib" / "gone").unlink()
    write(outer, "lib/new dir/new", b"x\n", executable=True)
    write(outer, "lib/deep/d", EVERY_BYTE)
    write(outer, "x", b"2\n")
    round_trip(outer, tmp_path / "back")
    back = kept(tmp_path / "back").code.git
    assert back is not None
    assert back.submodules is not None
    assert [(each.path, each.dirty) for each in back.submodules] == [
        ("bare", None), ("lib", True), ("lib/deep", True),
    ]  # fmt: skip


def test_clean_submodules_and_one_at_another_commit(tmp_path: Path) -> None:
    outer = with_submodules(tmp_path)
    round_trip(outer, tmp_path / "back")
    write(outer / "lib", "later", b"x\n")
    git(outer / "lib", "add", "later")
    git(outer / "lib", "commit", "--quiet", "--message=later")
    round_trip(outer, tmp_path / "back-2")
    commit = git(outer / "lib", "rev-parse", "HEAD")
    assert git(tmp_path / "back-2" / "lib", "rev-parse", "HEAD") == commit


def test_a_submodule_that_was_removed_replaced_or_added(tmp_path: Path) -> None:
    outer = with_submodules(tmp_path)
    git(outer, "rm", "--quiet", "-f", "lib")
    write(outer, "lib/now-files", b"x\n")
    write(outer, "bare", b"x\n") if not (outer / "bare").exists() else None
    git(outer, "submodule", "--quiet", "add", str(tmp_path / "deep"), "added")
    round_trip(outer, tmp_path / "back")


def test_a_submodule_comes_back_when_it_has_gone_from_the_tree(tmp_path: Path) -> None:
    outer = with_submodules(tmp_path)
    write(outer, "lib/a", b"2\n")
    what, before = kept(outer), tree(outer)
    git(outer, "submodule", "--quiet", "deinit", "--force", "lib")
    given_back(what, tmp_path / "back", outer)
    assert tree(tmp_path / "back") == before


def test_repositories_that_merely_lie_inside(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "r")
    inside = make_repository(root / "vendored" / "thing", {"a": b"1\n"})
    write(inside, "a", b"2\n")
    write(inside, "new", b"x\n")
    git(root / "vendored", "init", "--quiet", "unborn")
    write(root, "vendored/unborn/file", b"x\n")
    round_trip(root, tmp_path / "back")
    state = kept(root).code.git
    assert state is not None
    assert state.submodules is not None
    assert [(each.path, each.is_registered) for each in state.submodules] == [
        ("vendored/thing", False), ("vendored/unborn", False),
    ]  # fmt: skip


def test_sparse_checkout(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "r", {"in/a": b"1\n", "out/b": b"1\n", "top": b"1\n"})
    git(root, "sparse-checkout", "set", "in")
    assert not (root / "out").exists()
    write(root, "in/a", b"2\n")
    round_trip(root, tmp_path / "back")


@pytest.mark.parametrize(
    "kind", ["worktree", "shallow", "sha256", "unborn", "detached", "alternates"]
)
def test_every_kind_of_repository(tmp_path: Path, kind: str) -> None:
    if kind == "sha256":
        git(tmp_path, "init", "--quiet", "--object-format=sha256", "origin")
        write(tmp_path / "origin", "a.txt", b"1\n")
        git(tmp_path / "origin", "add", "a.txt")
        git(tmp_path / "origin", "commit", "--quiet", "--message=1")
        root = tmp_path / "origin"
    elif kind == "unborn":
        git(tmp_path, "init", "--quiet", "r")
        root = tmp_path / "r"
    else:
        origin = base(tmp_path / "origin")
        root = tmp_path / "r"
        if kind == "worktree":
            git(origin, "worktree", "add", "--quiet", "-b", "side", str(root))
        elif kind == "shallow":
            git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", "r")
        else:
            git(tmp_path, "clone", "--quiet", "--shared", str(origin), "r")
            git(root, "checkout", "--quiet", "--detach")
    write(root, "a.txt", b"2\n")
    write(root, "new", EVERY_BYTE)
    round_trip(root, tmp_path / "back")


def test_the_restored_tree_is_a_repository_of_its_own(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, "a.txt", b"2\n")
    write(root, "new", b"x\n")
    commit = git(root, "rev-parse", "HEAD")
    round_trip(root, tmp_path / "back")
    shutil.rmtree(root)
    back = tmp_path / "back"
    assert git(back, "rev-parse", "HEAD") == commit
    assert git(back, "fsck", "--strict") == ""
    assert git(back, "status", "--porcelain").splitlines() == ["M a.txt", "?? new"]
    assert git(back, "stash") != ""


def test_the_repository_may_have_moved_on(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, "a.txt", b"2\n")
    what, before = kept(root), tree(root)
    git(root, "commit", "--quiet", "--amend", "--all", "--message=other")
    given_back(what, tmp_path / "back", root)
    assert tree(tmp_path / "back") == before


def test_a_commit_that_is_gone_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, "a.txt", b"2\n")
    what = kept(root)
    git(tmp_path, "clone", "--quiet", str(root), "clone")
    git(root, "commit", "--quiet", "--amend", "--all", "--message=other")
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "--quiet", "--prune=now")
    with pytest.raises(NotFoundError, match=r"is not in .* \(removed, or .*--repository"):
        given_back(what, tmp_path / "back", root)
    assert sorted(path.name for path in tmp_path.iterdir() if "back" in path.name) == []
    assert not list(tmp_path.glob(".instrument-*"))
    assert not given_back(what, tmp_path / "back", tmp_path / "clone").differing


def test_a_url_is_fetched_from(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, "a.txt", b"2\n")
    what, before = kept(root), tree(root)
    write(root, "later", b"x\n")
    git(root, "add", "later")
    git(root, "commit", "--quiet", "--message=later")
    back = given_back(what, tmp_path / "back", f"file://{root}")
    assert not back.differing
    assert tree(tmp_path / "back") == before


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, "a.txt", b"2\n")
    what = kept(root)
    write(tmp_path, "full/x", b"precious\n")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("full", "full/x", "link"):
        with pytest.raises(UsageError, match="not an empty directory"):
            given_back(what, tmp_path / name, root)
    assert (tmp_path / "full" / "x").read_bytes() == b"precious\n"
    (tmp_path / "empty").mkdir()
    given_back(what, tmp_path / "empty", root)
    assert tree(tmp_path / "empty") == tree(root)


def test_a_file_that_does_not_come_out_right_is_named(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, "a.txt", b"2\n")
    what = kept(root)
    what.objects["patch"] = what.objects["patch"].replace(b"\n+2\n", b"\n+3\n")
    assert given_back(what, tmp_path / "back", root).differing == ("a.txt",)


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../x", ".git/hooks/x", "a//b", ".GIT"])
def test_a_manifest_leads_nowhere_else(path: str) -> None:
    data = msgspec.json.encode(
        {"directory": None, "files": [{"path": path, "mode": "100644", "digest": "x"}]}
    )
    with pytest.raises(IntegrityError, match="it is not used"):
        read_manifest(data)


def test_nothing_of_the_source_is_run_or_changed(tmp_path: Path) -> None:
    root = base(tmp_path / "r")
    write(root, ".gitattributes", b"* filter=evil\n")
    what, before = kept(root), tree(root)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        write(root / ".git" / "hooks", hook, b"#!/bin/sh\ntouch '%s'\n" % bytes(tmp_path / "ran"),
              executable=True)  # fmt: skip
    for name in ("clean", "smudge"):
        git(root, "config", f"filter.evil.{name}", f"touch '{tmp_path / 'ran'}'; cat")
    files = {path: path.stat().st_mtime_ns for path in (root / ".git").rglob("*")}
    given_back(what, tmp_path / "back", root)
    assert tree(tmp_path / "back") == before
    assert not (tmp_path / "ran").exists()
    assert {path: path.stat().st_mtime_ns for path in (root / ".git").rglob("*")} == files
