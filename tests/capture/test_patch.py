"""The patch gives the tree back, byte for byte, and leaves the repository alone."""

import os
from pathlib import Path

import pytest
from capture.repositories import git, make_repository, tree

from instrument.capture.code import CodeReading
from instrument.capture.git import find_repository
from instrument.capture.patch import Patch, make_patch
from instrument.capture.status import ARGUMENTS, parse_status

EVERY_BYTE = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def patch_of(root: Path) -> bytes | None:
    reading = CodeReading(root, None, 2, 60)
    patch = reading.patch()
    assert reading.finish().reason is None
    return patch


def limited(root: Path, max_bytes: int) -> Patch:
    repository = find_repository(root)
    assert repository is not None
    output = git(root, *ARGUMENTS).encode()
    return make_patch(repository, parse_status(output), (), max_bytes=max_bytes)


def restored(repository: Path, patch: bytes, to: Path) -> Path:
    """The commit, cloned afresh, with `patch` applied."""
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


def test_beyond_the_cap_the_largest_are_left_out_and_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"big": b"0" * 5000, "small": b"1\n"})
    (repository / "big").unlink()
    (repository / "small").write_bytes(b"2\n")
    (repository / "huge").write_bytes(b"x" * 9000)
    (repository / "tiny").write_bytes(b"t\n")
    patch = limited(repository, 1000)
    assert patch.reason is not None
    assert "big" in patch.reason
    assert "huge" in patch.reason
    assert patch.data is not None
    git(tmp_path, "clone", "--quiet", str(repository), "fresh")
    git(tmp_path / "fresh", "apply", "-", feed=patch.data)
    found = tree(tmp_path / "fresh")
    assert found["small"] == ("file", b"2\n")
    assert found["tiny"] == ("file", b"t\n")
    assert found["big"] == ("file", b"0" * 5000)
    assert "huge" not in found


def test_secrets_and_devices_are_left_out_and_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a": b"1\n"})
    (repository / ".env").write_bytes(b"HF_TOKEN=hf_very_secret\n")
    (repository / "notes").write_bytes(b"-----BEGIN RSA PRIVATE KEY-----\nMIIsecret\n")
    os.mkfifo(repository / "pipe")
    (repository / "a").write_bytes(b"2\n")
    reading = CodeReading(repository, None, 2, 60)
    patch = reading.patch()
    assert patch is not None
    assert b"secret" not in patch
    assert b"+2" in patch
    reason = reading.finish().reason
    assert reason is not None
    assert ".env (looks like a secret)" in reason
    assert "notes (looks like a secret)" in reason


def test_repositories_inside_are_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    make_repository(repository / "vendored")
    (repository / "new").write_bytes(b"x\n")
    reading = CodeReading(repository, None, 2, 60)
    assert b"new" in (reading.patch() or b"")
    assert "vendored/ (a repository of its own)" in (reading.finish().reason or "")


def test_our_own_store_is_not_in_it(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    (repository / ".instrument").mkdir()
    (repository / ".instrument" / "x").write_bytes(b"store\n")
    (repository / "new").write_bytes(b"x\n")
    patch = patch_of(repository)
    assert patch is not None
    assert b"store" not in patch


# In halves, so that this file itself holds none.
SECRETS = (
    b"key = 'sk-" + b"abcdefghijklmnop1234'",
    b"AKIA" + b"ABCDEFGHIJKLMNOP",
    b"x = 'xoxb-" + b"0123456789ab'",
    b"eyJ" + b"hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk",
    b"hf_" + b"abcdefghijklmnopqrstuv",
    b"aws_secret_access_key=" + b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE",
    b'"Authorization": "Bearer ' + b'abcdefgh12345678ijkl"',
    b'api_key: str = "' + b'abcdefghijklmnop"',
    b"-----BEGIN " + b"PRIVATE KEY-----\nMIIabc",
)
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


@pytest.mark.parametrize("secret", SECRETS)
def test_files_with_a_secret_in_what_was_added_are_left_out_and_named(
    tmp_path: Path, secret: bytes
) -> None:
    repository = make_repository(tmp_path / "r", {"tracked \xe9.py": b"1\n", "other.py": b"1\n"})
    (repository / "tracked \xe9.py").write_bytes(b"1\n" * 50_000 + secret + b"\n")
    (repository / "untracked.py").write_bytes(secret + b"\n")
    (repository / "binary").write_bytes(b"\0\n" + secret + b"\n")
    (repository / "other.py").write_bytes(b"kept\n")
    reading = CodeReading(repository, None, 2, 60)
    patch = reading.patch()
    assert patch is not None
    assert b"kept" in patch
    assert patch.count(b"diff --git") == 1
    reason = reading.finish().reason or ""
    for name in ("tracked \xe9.py", "untracked.py", "binary"):
        assert f"{name} (looks like a secret)" in reason


@pytest.mark.parametrize("line", HARMLESS)
def test_code_that_speaks_of_secrets_is_kept(tmp_path: Path, line: bytes) -> None:
    repository = make_repository(tmp_path / "r", {"a.py": b"1\n"})
    (repository / "a.py").write_bytes(line + b"\n")
    assert line in (patch_of(repository) or b"")


def test_a_secret_that_the_commit_has_already_does_not_hold_a_change_back(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a.py": SECRETS[0] + b"\n1\n"})
    (repository / "a.py").write_bytes(SECRETS[0] + b"\n2\n")
    assert b"+2" in (patch_of(repository) or b"")
