"""Where commits come from: a repository on this machine, or one that a URL names.

Only objects are read, so it does not matter where its branches are by now or whether the commit is
on any. The network is used only for a URL.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Final

from instrument.capture.git import Git, succeed
from instrument.capture.manifest import Place, path_bytes
from instrument.capture.repository import Repository, find_repository, repository_at
from instrument.capture.scratch import Scratch
from instrument.errors import NotFoundError

_PROTOCOLS: Final = "file:git:http:https:ssh"


class Source:
    """Where commits come from: a repository on this machine, or one that a URL names.

    Args:
        location: A path or a URL.
        found_in: The working tree of the run, for the repositories inside that `location` lacks.

    Raises:
        NotFoundError: There is no repository at that path.
    """

    def __init__(self, location: str, found_in: str | None = None) -> None:
        self.location = location
        self._found_in = found_in
        self.is_url = "://" in location or _is_scp(location)
        self._repository: Repository | None = None
        if not self.is_url:
            path = Path(location).expanduser()
            self._repository = find_repository(path.resolve()) if path.is_dir() else None
            if self._repository is None:
                raise NotFoundError(
                    f"{location!r} is no git repository; --repository names another"
                )

    def has(self, place: Place) -> bool:
        """Whether the commit of `place` is there; True for a URL, which only a fetch can tell."""
        if self.is_url or place.commit is None:
            return True
        with tempfile.TemporaryDirectory(prefix="instrument-") as scratch:
            seen = Scratch(
                Path(scratch) / "git",
                objects=self._objects(place),
                is_sha256=place.is_sha256,
                limit_seconds=60,
            )
            try:
                seen.git("rev-parse", "--quiet", "--verify", f"{place.commit}^{{tree}}")
            except OSError:
                return False
        return True

    def provide(self, place: Place, root: Path, deadline: float) -> None:
        """Make the repository of `place`, with its commit and nothing older, in `root`.

        Raises:
            NotFoundError: The commit is not there.
            OSError: git failed or took too long.
        """
        directory = root / os.fsdecode(path_bytes(place.path))
        made = Scratch(
            directory / ".git",
            work_tree=directory,
            objects=() if self.is_url else self._objects(place),
            is_sha256=place.is_sha256,
            limit_seconds=deadline - time.monotonic(),
        )
        if place.commit is None:
            return
        if self.is_url:
            self._fetch(place, directory, deadline)
        else:
            if not self.has(place):
                raise NotFoundError(self._missing(place))
            (made.git_dir / "shallow").write_text(f"{place.commit}\n")
            pack = str(made.git_dir / "objects" / "pack" / "pack")
            made.git("pack-objects", "--quiet", "--revs", pack, feed=f"{place.commit}\n".encode())
            made.alternates.unlink()
        (made.git_dir / "HEAD").write_text(f"{place.commit}\n")

    def large(self, place: Place, digest: str) -> Path | None:
        """The file in which Git LFS holds `digest` (hex), if it is there."""
        if self.is_url:
            return None
        for objects in self._objects(place):
            path = objects.parent / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
            if path.is_file():
                return path
        return None

    def _objects(self, place: Place) -> list[Path]:
        """Directories that may have the objects of `place`."""
        repository = self._repository
        if repository is None:
            return []
        if not place.path:
            return [repository.objects]
        path = os.fsdecode(path_bytes(place.path))
        roots = [Path(root) for root in (repository.root, self._found_in) if root]
        inside = (repository_at(root / path) for root in roots)
        found = [each.objects for each in inside if each is not None]
        modules = repository.common_dir / "modules"
        if modules.is_dir():  # also of submodules that have gone from the tree, or moved
            found += sorted(
                directory for directory in modules.rglob("objects")
                if (directory.parent / "HEAD").exists()
            )  # fmt: skip
        return found

    def _fetch(self, place: Place, directory: Path, deadline: float) -> None:
        """Get the commit from the URL, alone where the server allows it."""
        url = self.location if not place.path else place.remote
        commit = place.commit or ""
        if not url:
            raise NotFoundError(
                f"no URL is recorded for {place.path!r}; name a local repository with --repository"
            )
        attempts = (["--depth=1", url, commit], [url, "+refs/*:refs/remotes/origin/*"])
        for attempt in attempts:
            if _fetched(directory, attempt, deadline) and _has_commit(directory, commit):
                return
        raise NotFoundError(f"{url} does not give commit {commit[:12]}; {_way_out(place)}")

    def _missing(self, place: Place) -> str:
        what = f"of {place.path!r} " if place.path else ""
        to_clone = f", or clone it to {place.path!r} inside that one" if place.path else ""
        return (
            f"commit {str(place.commit)[:12]} {what}is not in {self.location} "
            f"(removed, or never fetched); {_way_out(place)}{to_clone}"
        )


def _fetched(directory: Path, arguments: Sequence[str], deadline: float) -> bool:
    """Whether git could fetch: with the user's own settings, since it is the user who asks."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")},
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
    }
    child = Popen(
        ["git", "-C", str(directory), "fetch", "--quiet", "--no-tags", *arguments],
        env=environment,
        stdin=DEVNULL,
        stderr=PIPE,
    )
    try:
        child.communicate(timeout=max(deadline - time.monotonic(), 0))
    except TimeoutExpired:
        child.kill()
        child.communicate()
        raise TimeoutError("git fetch took too long") from None
    return child.returncode == 0


def _has_commit(directory: Path, commit: str) -> bool:
    environment = {"GIT_DIR": str(directory / ".git")}
    try:
        call = Git(directory, "cat-file", "-e", f"{commit}^{{tree}}", environment=environment)
        succeed(call, 60)
    except OSError:
        return False
    return True


def _is_scp(location: str) -> bool:
    """Whether it is ``host:path``."""
    host, colon, _ = location.partition(":")
    return bool(colon) and "/" not in host and not Path(location).exists()


def _way_out(place: Place) -> str:
    commit = place.commit or "the commit"
    return (
        f"fetch it there (`git fetch origin {commit}`) or name a repository that has it with "
        "--repository"
    )
