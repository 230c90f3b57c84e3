"""Random trees, random edits, random staging: what comes back is what was there."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from capture.repositories import git, make_repository, round_trip
from hypothesis import HealthCheck, example, given, settings, strategies as st

_PARTS = (b"a", b"b", b"C", b"c", b"d e", b"\xff", b"n\nl", b'"q', b"-x")
_LONG = b"(long)"  # stands for more than a reader of a counterexample wants to see
_CONTENTS = st.one_of(
    st.sampled_from([b"", b"\n", b"a\n", b"a\r\nb\r\n", b"\r", _LONG, b"\0\1", b"+++ b/a\n"]),
    st.binary(max_size=60),
    st.lists(st.sampled_from([b"one\n", b"two\n", b"three\r\n"]), max_size=30).map(b"".join),
)
_PATHS = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3).map(b"/".join)
_KINDS = st.sampled_from(["file", "file", "file", "executable", "link", "gone"])
_TREES = st.lists(st.tuples(_PATHS, _KINDS, _CONTENTS), max_size=12)
_ATTRIBUTES = st.sampled_from(
    [b"", b"", b"* text=auto\n", b"* -diff\n", b"* eol=crlf\n", b"* ident\n"]
)


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def make(root: Path, steps: list[tuple[bytes, str, bytes]]) -> None:
    """Do `steps`; what is in the way of a path is removed."""
    for name, kind, content in steps:
        path = root / os.fsdecode(name)
        for above in (*reversed(path.relative_to(root).parents[:-1]), path.relative_to(root)):
            blocked = root / above
            is_target = blocked == path
            if blocked.is_symlink() or blocked.is_file():
                blocked.unlink()
            elif is_target and blocked.is_dir():
                shutil.rmtree(blocked)
        if kind == "gone":
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            path.symlink_to(os.fsdecode(content.replace(b"\0", b"") or b"nowhere")[:100])
        else:
            path.write_bytes(b"x" * 70_000 if content == _LONG else content)
            path.chmod(0o755 if kind == "executable" else 0o644)


_LINK_MOVED_BELOW_ITSELF = {
    "before": [(b"a", "link", b"t")], "staged": [], "after": [(b"a/a", "link", b"t")],
    "attributes": b"",
}  # fmt: skip


@given(before=_TREES, staged=_TREES, after=_TREES, attributes=_ATTRIBUTES)
@example(**_LINK_MOVED_BELOW_ITSELF)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_back(
    before: list[tuple[bytes, str, bytes]],
    staged: list[tuple[bytes, str, bytes]],
    after: list[tuple[bytes, str, bytes]],
    attributes: bytes,
) -> None:
    check(before, staged, after, attributes)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(before=_TREES, staged=_TREES, after=_TREES, attributes=_ATTRIBUTES)
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_of_many_trees_comes_back(
    before: list[tuple[bytes, str, bytes]],
    staged: list[tuple[bytes, str, bytes]],
    after: list[tuple[bytes, str, bytes]],
    attributes: bytes,
) -> None:
    check(before, staged, after, attributes)


def check(
    before: list[tuple[bytes, str, bytes]],
    staged: list[tuple[bytes, str, bytes]],
    after: list[tuple[bytes, str, bytes]],
    attributes: bytes,
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = make_repository(Path(directory) / "r", {".gitattributes": attributes, "z": b"z\n"})
        make(root, before)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--allow-empty", "--message=before")
        make(root, staged)
        git(root, "add", "--all")
        make(root, [*after, (b"z", "file", b"changed\n")])
        round_trip(root, Path(directory) / "back")
