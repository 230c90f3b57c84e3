"""The patch and its manifest: what they hold, what they leave out, and what they never touch."""

import os
from pathlib import Path

import pytest
from capture.repositories import git, kept, make_repository, round_trip, tree

from instrument.capture.changes import Asked, Gathering
from instrument.capture.manifest import path_bytes, path_text, read_manifest
from instrument.capture.patch import Patch, make_patch
from instrument.capture.repository import find_repository
from instrument.capture.status import ARGUMENTS, parse_status

EVERY_BYTE = bytes(range(256)) * 40
NEVER = 1e6


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def patch_of(root: Path) -> bytes | None:
    found = kept(root)
    assert found.code.reason is None
    return found.objects.get("patch")


def limited(root: Path, max_bytes: int) -> Patch:
    repository = find_repository(root)
    assert repository is not None
    status = parse_status(git(root, *ARGUMENTS).encode())
    trees = Gathering(NEVER).trees(Asked(repository, status, ()))
    return make_patch(trees, (), max_bytes=max_bytes, limit_seconds=60)


def restored(repository: Path, patch: bytes, to: Path) -> Path:
    """The commit, cloned afresh, with `patch` applied by hand."""
    git(to.parent, "clone", "--quiet", "--no-local", str(repository), str(to))
    git(to, "apply", "--whitespace=nowarn", "-", feed=patch)
    return to


def messy(path: Path) -> Path:
    repository = make_repository(
        path,
        {
            "staged.txt": b"one\n",
            "unstaged.txt": b"one\ntwo\n",
            "both.txt": b"one\n",
            "deleted.txt": b"gone\n",
            "removed.txt": b"gone too\n",
            "old-name.txt": b"renamed\n" * 50,
            "binary.bin": EVERY_BYTE,
            "run.sh": b"#!/bin/sh\n",
            "dir/deep.txt": b"deep\n",
            "becomes-dir": b"a file\n",
            "becomes-link": b"a file\n",
            "no-newline.txt": b"no newline",
            "crlf.txt": b"a\r\nb\r\n",
        },
    )
    (repository / "staged.txt").write_bytes(b"two\n")
    git(repository, "add", "staged.txt")
    (repository / "unstaged.txt").write_bytes(b"one\nthree\n")
    (repository / "both.txt").write_bytes(b"staged\n")
    git(repository, "add", "both.txt")
    (repository / "both.txt").write_bytes(b"then changed\n")
    (repository / "deleted.txt").unlink()
    git(repository, "rm", "--quiet", "removed.txt")
    git(repository, "mv", "old-name.txt", "new name.txt")
    (repository / "binary.bin").write_bytes(EVERY_BYTE[::-1])
    (repository / "run.sh").chmod(0o755)
    (repository / "becomes-dir").unlink()
    (repository / "becomes-dir").mkdir()
    (repository / "becomes-dir" / "inside").write_bytes(b"x\n")
    (repository / "becomes-link").unlink()
    (repository / "becomes-link").symlink_to("staged.txt")
    (repository / "no-newline.txt").write_bytes(b"still no newline")
    (repository / "crlf.txt").write_bytes(b"a\r\nc\r\n")
    new = repository / "new dir"
    new.mkdir()
    (new / "untracked.txt").write_bytes(b"untracked\n")
    (new / "untracked.bin").write_bytes(EVERY_BYTE + b"\0")
    (new / "empty").write_bytes(b"")
    (new / "tool").write_bytes(b"#!/bin/sh\n")
    (new / "tool").chmod(0o755)
    (new / "link").symlink_to("../staged.txt")
    (new / "dangling").symlink_to("nowhere")
    (repository / 'ünï "quoted"\ttab').write_bytes(b"odd\n")
    (repository / "-dash").write_bytes(b"dash\n")
    (repository / ":(glob)*").write_bytes(b"magic\n")
    (repository / "added.txt").write_bytes(b"added\n")
    git(repository, "add", "added.txt")
    return repository


def test_gives_the_tree_back_byte_for_byte(tmp_path: Path) -> None:
    repository = messy(tmp_path / "r")
    patch = patch_of(repository)
    assert patch is not None
    assert tree(restored(repository, patch, tmp_path / "fresh")) == tree(repository)


def test_leaves_index_objects_and_worktree_alone(tmp_path: Path) -> None:
    repository = messy(tmp_path / "r")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files_below(repository / ".git")}
    worktree = tree(repository)
    assert patch_of(repository)
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files_below(repository / ".git")}
    assert after == before
    assert tree(repository) == worktree


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "setting",
    [
        "diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.context=0", "color.ui=always",
        "diff.renames=copies", "diff.relative=true", "core.quotePath=false",
        "diff.algorithm=patience",
        "core.splitIndex=true", "status.renames=copies", "status.showUntrackedFiles=no",
        "diff.wsErrorHighlight=all", "core.untrackedCache=true", "diff.suppressBlankEmpty=true",
        "index.version=4", "diff.interHunkContext=9",
    ],
)  # fmt: skip
def test_the_user_s_own_diff_settings_change_nothing(tmp_path: Path, setting: str) -> None:
    repository = messy(tmp_path / "r")
    git(repository, "config", *setting.split("=", 1))
    if setting in {"core.splitIndex=true", "index.version=4", "core.untrackedCache=true"}:
        git(repository, "update-index", "--force-write-index")
    patch = patch_of(repository)
    assert patch is not None
    assert tree(restored(repository, patch, tmp_path / "fresh")) == tree(repository)


def test_from_a_subdirectory_it_covers_the_whole_tree(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"sub/a": b"1\n", "b": b"1\n"})
    (repository / "b").write_bytes(b"2\n")
    patch = patch_of(repository / "sub")
    assert patch is not None
    assert b"+2" in patch


def test_a_clean_tree_has_no_patch(tmp_path: Path) -> None:
    assert patch_of(make_repository(tmp_path / "r")) is None


def test_before_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "r")
    repository = tmp_path / "r"
    (repository / "a").write_bytes(b"a\n")
    (repository / "b").write_bytes(EVERY_BYTE)
    git(repository, "add", "a")
    patch = patch_of(repository)
    assert patch is not None
    git(tmp_path, "init", "--quiet", "fresh")
    git(tmp_path / "fresh", "apply", "-", feed=patch)
    assert tree(tmp_path / "fresh") == tree(repository)


def test_worktree_and_sha256_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "r")
    repository = tmp_path / "r"
    (repository / "a").write_bytes(b"a\n")
    git(repository, "add", "a")
    git(repository, "commit", "--quiet", "--message=first")
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    (tmp_path / "tree" / "a").write_bytes(b"b\n")
    (tmp_path / "tree" / "new").write_bytes(b"c\n")
    patch = patch_of(tmp_path / "tree")
    assert patch is not None
    assert tree(restored(repository, patch, tmp_path / "fresh")) == tree(tmp_path / "tree")


def test_a_conflict_is_kept_as_it_lies_in_the_tree(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a": b"1\n", "z": b"1\n"})
    git(repository, "checkout", "--quiet", "-b", "side")
    (repository / "a").write_bytes(b"2\n")
    git(repository, "commit", "--quiet", "--all", "--message=side")
    git(repository, "checkout", "--quiet", "main")
    (repository / "a").write_bytes(b"3\n")
    git(repository, "commit", "--quiet", "--all", "--message=main")
    with pytest.raises(AssertionError):
        git(repository, "merge", "--quiet", "side")
    (repository / "z").write_bytes(b"2\n")
    patch = patch_of(repository)
    assert patch is not None
    assert tree(restored(repository, patch, tmp_path / "fresh")) == tree(repository)


def test_t34_beyond_the_cap_the_largest_are_left_out_and_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"big": b"0" * 5000, "small": b"1\n"})
    (repository / "big").write_bytes(b"1" * 5000)
    (repository / "small").write_bytes(b"2\n")
    (repository / "huge").write_bytes(b"x" * 9000)
    (repository / "tiny").write_bytes(b"t\n")
    patch = limited(repository, 1000)
    assert {each.path for each in patch.manifest.left_out} == {"big", "huge"}
    assert patch.reason is not None
    assert "big" in patch.reason
    assert "huge" in patch.reason
    assert patch.data is not None
    found = tree(restored(repository, patch.data, tmp_path / "fresh"))
    assert found["small"] == ("file", b"2\n")
    assert found["tiny"] == ("file", b"t\n")
    assert found["big"] == ("file", b"0" * 5000)
    assert "huge" not in found


def test_t34_secrets_and_devices_are_left_out_and_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a": b"1\n"})
    (repository / ".env").write_bytes(b"HF_TOKEN=hf_very_secret\n")
    (repository / "id_rsa").write_bytes(b"-----BEGIN RSA PRIVATE KEY-----\nMIIsecret\n")
    os.mkfifo(repository / "pipe")
    (repository / "a").write_bytes(b"2\n")
    found = kept(repository)
    patch = found.objects["patch"]
    assert b"secret" not in patch
    assert b"+2" in patch
    reason = found.code.reason
    assert reason is not None
    assert ".env (looks like a secret)" in reason
    assert "id_rsa (looks like a secret)" in reason


def test_our_own_store_is_not_in_it(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    (repository / ".instrument").mkdir()
    (repository / ".instrument" / "x").write_bytes(b"store\n")
    (repository / "new").write_bytes(b"x\n")
    patch = patch_of(repository)
    assert patch is not None
    assert b"store" not in patch


HARMLESS = (
    b'api_key = os.environ["OPENAI_API_KEY_OF_MINE"]',
    b"token = tokenizer(text_of_the_example_1234567)",
    b"password = settings.database_password_v2",
    b"api_key = load_the_key_from_the_vault",
    b'pad_token = "<|reserved_special_token_1|>"',
    b'sort_key = "a_long_name_of_a_column_1"',
    b'secret = "short"',
    b"the bearer of this letter, basic training",
    b'if "-----BEGIN ' + b'PRIVATE KEY-----" in text:',
)


@pytest.mark.parametrize("line", HARMLESS)
def test_code_that_speaks_of_secrets_is_kept(tmp_path: Path, line: bytes) -> None:
    repository = make_repository(tmp_path / "r", {"a.py": b"1\n"})
    (repository / "a.py").write_bytes(line + b"\n")
    assert line in (patch_of(repository) or b"")


def test_t34_a_huge_untracked_file_is_named_and_neither_read_nor_stored(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    with (repository / "data.bin").open("wb") as file:
        file.truncate(3_000_000_000)
    os.utime(repository / "data.bin", (1, 1))
    found = kept(repository)
    assert "data.bin (beyond 20 MB)" in (found.code.reason or "")
    assert sum(map(len, found.objects.values())) < 10_000
    assert read_manifest(found.objects["manifest"]).left_out[0].path == "data.bin"
    assert (repository / "data.bin").stat().st_atime == 1, "it was read"


def test_a_large_deleted_file_needs_no_content(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"big": os.urandom(21_000_000), "a": b"1\n"})
    (repository / "big").unlink()
    round_trip(repository, tmp_path / "back")


def test_the_manifest_says_who_where_and_what(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a": b"1\n", "b": b"1\n"})
    (repository / "a").write_bytes(b"2\n")
    (repository / "b").unlink()
    (repository / os.fsdecode(b"n\xff\\")).write_bytes(b"")
    manifest = read_manifest(kept(repository).objects["manifest"])
    assert manifest.directory == str(repository)
    assert [place.commit for place in manifest.repositories] == [
        git(repository, "rev-parse", "HEAD")
    ]
    assert {file.path: file.mode for file in manifest.files} == {
        "a": "100644", "b": None, "n\\xff\\\\": "100644",
    }  # fmt: skip


@pytest.mark.parametrize("path", [b"a", b"\xff\\x41", b"\\", "ü\n".encode(), b"a\\\\xff"])
def test_paths_come_back_from_text(path: bytes) -> None:
    assert path_bytes(path_text(path)) == path
