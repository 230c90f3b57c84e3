"""Real git repositories for the tests of `instrument.capture.code`, and the way back from them."""

import os
import subprocess
from pathlib import Path

from instrument.capture.code import CodeReading, Kept
from instrument.capture.commits import Source
from instrument.capture.manifest import read_manifest
from instrument.capture.restore import Recorded, restore
from instrument.capture.restored import Restored

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(directory: Path, *arguments: str | bytes, feed: bytes | None = None) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=directory,
        env=ENVIRONMENT,
        input=feed,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(errors="replace").strip()


def make_repository(path: Path, files: dict[str, bytes] | None = None) -> Path:
    """A repository with one commit."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    for name, content in (files or {"train.py": b"print('hello')\n"}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message=first")
    return path


def kept(root: Path) -> Kept:
    """All that a run started in `root` keeps of its code."""
    found = CodeReading(root, None, 2, 60).complete(limit_seconds=60)
    assert found is not None
    return found


def given_back(what: Kept, to: Path, repository: Path | str) -> Restored:
    """The code that `what` keeps, restored in `to`."""
    manifest = read_manifest(what.objects["manifest"])
    code = Recorded(manifest, what.objects.get("patch"), what.objects.get("script"))
    return restore(code, to, Source(str(repository)))


def round_trip(root: Path, to: Path) -> Restored:
    """The code in `root`, kept and restored in `to`; it must come out the same, whole."""
    what = kept(root)
    assert what.code.reason is None
    restored = given_back(what, to, root)
    assert not restored.differing
    assert not restored.left_out
    assert tree(to) == tree(root)
    return restored


def tree(root: Path) -> dict[str, tuple[str, bytes]]:
    """Every file below `root` with its kind and bytes; ``.git`` is left out, at any depth."""
    found: dict[str, tuple[str, bytes]] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if ".git" in path.relative_to(root).parts:
            continue
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_file():
            kind = "executable" if path.stat().st_mode & 0o100 else "file"
            found[name] = (kind, path.read_bytes())
    return found
