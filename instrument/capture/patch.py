"""What differs from the commit, as one patch over all repositories of a tree, and its manifest.

The user's repository is only read. Each file is read once: what is scanned for secrets, digested
and put into the patch are the same bytes. git compares them in a directory of its own.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from instrument.capture.changes import Difference, Large, Tree, shown
from instrument.capture.literals import has_settings, holds_secret, is_wide
from instrument.capture.manifest import (
    EXECUTABLE,
    LINK,
    REGULAR,
    ChangedFile,
    LeftOut,
    Manifest,
    Place,
    path_text,
)
from instrument.capture.scratch import Scratch, quoted
from instrument.capture.secret_lines import redacted_lines, where
from instrument.capture.sections import Section, clear, split_patch
from instrument.capture.status import Committed
from instrument.redaction import printable, redact_text

MAX_BYTES: Final = 20_000_000
"""How much content, before and after the change, a patch takes in."""
LEAKS: Final = "looks like a secret"
_SECRET_FILES: Final = (
    ".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa", "id_dsa", "id_ecdsa",
    "id_ed25519", ".netrc", ".npmrc", ".pypirc", ".git-credentials", "credentials.json",
)  # fmt: skip
_NO_SECRET_FILES: Final = (".env.example", ".env.sample", ".env.template", ".env.dist")
_NAMED: Final = 5
_BEFORE: Final = "refs/heads/before"
_AFTER: Final = "refs/heads/after"
_DIFF: Final = (
    "diff-tree", "-r", "-p", "--binary", "--full-index", "--no-color", "--no-ext-diff",
    "--no-textconv",
)  # fmt: skip


class Patch(NamedTuple):
    """What differs from the commit.

    Attributes:
        data: For ``git apply``; None when nothing differs or it could not be made.
        manifest: Every file that differs.
        reason: What is left out and why; None when it is whole.
        leaks: What is left out because a secret stands in it; None for nothing.
        redacted: What is kept without its secrets, with their lines; None for nothing.
    """

    data: bytes | None
    manifest: Manifest
    reason: str | None
    leaks: str | None = None
    redacted: str | None = None


class _File(NamedTuple):
    """A path that differs, with what lies there now.

    Attributes:
        path: Relative to the root.
        committed: What the commit has there.
        mode: Its mode in git's words; None when nothing lies there.
        cost_bytes: Sizes before and after together.
        is_hidden: Whether git was told to pass it over.
    """

    path: bytes
    committed: Committed | None
    mode: str | None
    cost_bytes: int
    is_hidden: bool


def make_patch(
    trees: Sequence[Tree],
    places: Sequence[Place],
    left_out: Iterable[tuple[bytes, str]] = (),
    *,
    max_bytes: int = MAX_BYTES,
    limit_seconds: float,
) -> Patch:
    """The patch from the commits to the working trees.

    Args:
        trees: The repository of the code and those inside it.
        places: The same, for the manifest.
        left_out: What is known to be left out.
        max_bytes: The largest files beyond this are left out.
        limit_seconds: How long git may take in all.

    Raises:
        OSError: It cannot be made: no space left, a time limit.
    """
    root = trees[0].repository.root
    if root is None:
        raise OSError("a bare repository has no files")
    with tempfile.TemporaryDirectory(prefix="instrument-") as directory:
        scratch = Scratch(
            Path(directory) / "git",
            objects=[tree.repository.objects for tree in trees],
            is_sha256=_is_sha256(trees),
            limit_seconds=limit_seconds,
        )
        work = _Work(scratch, root, max_bytes)
        work.left_out.update(left_out)
        data = work.patch([difference for tree in trees for difference in tree.differences])
        work.take_large(large for tree in trees for large in tree.large)
    manifest = Manifest(
        directory=printable(str(root)),
        repositories=tuple(places),
        files=tuple(work.files[path] for path in sorted(work.files)),
        left_out=tuple(
            LeftOut(path=redact_text(path_text(path)), reason=why)
            for path, why in sorted(work.left_out.items())
        ),
    )
    leaks = {path: why for path, why in work.left_out.items() if path in work.leaking}
    redacted = {path: where(f.redacted) for path, f in work.files.items() if f.redacted}
    reasons = [_reason("left out of", work.left_out), _reason("secrets removed from", redacted)]
    reason = "; ".join(filter(None, reasons)) or None
    return Patch(data, manifest, reason, _named(leaks) or None, _named(redacted) or None)


class _Work:
    """One patch in the making.

    Attributes:
        files: What is kept.
        left_out: What is not, and why.
        leaking: What of that has a secret in it.
    """

    def __init__(self, scratch: Scratch, root: Path, max_bytes: int) -> None:
        self.files: dict[bytes, ChangedFile] = {}
        self.left_out: dict[bytes, str] = {}
        self.leaking: set[bytes] = set()
        self._scratch = scratch
        self._root = root
        self._max_bytes = max_bytes
        self._is_real = cache(self._has_real_parents)

    def patch(self, differences: Iterable[Difference]) -> bytes | None:
        """The patch; fills `files` and `left_out`."""
        before: dict[bytes, Committed] = {}
        after: dict[bytes, tuple[str, bytes]] = {}
        for file in self._choose(self._files(differences)):
            content = self._read(file)
            if file.mode is None:
                self._delete(file.path)
            elif content is not None:
                after[file.path] = file.mode, content
                self.files[file.path] = ChangedFile(
                    path=path_text(file.path), mode=file.mode, digest=_digest(content)
                )
            if file.committed and (file.mode is None or content is not None):
                before[file.path] = file.committed
        return self._without_secrets(self._compare(before, after), before, after) or None

    def take_large(self, files: Iterable[Large]) -> None:
        """Add files that Git LFS holds to `files`."""
        for path, digest in files:
            executable = os.access(self._absolute(path), os.X_OK)
            self.files[path] = ChangedFile(
                path=path_text(path),
                mode=EXECUTABLE if executable else REGULAR,
                digest=f"sha256:{digest}",
                is_lfs=True,
            )

    def _files(self, differences: Iterable[Difference]) -> list[_File]:
        """What lies at each path now."""
        by_path: dict[bytes, Difference] = {}
        for difference in differences:
            known = by_path.get(difference.path)
            if known is None or known.committed is None:  # removed from the index, and untracked
                by_path[difference.path] = difference
        ids = [each.committed for each in by_path.values() if each.committed]
        sizes = dict(zip(ids, self._committed_sizes(ids), strict=True))
        files: list[_File] = []
        for path, committed, is_hidden in by_path.values():
            before = sizes[committed] if committed else 0
            found = self._look(path)
            if before is None:
                self.left_out[path] = "its committed content is not in the repository"
            elif found is not None:
                mode, size = found
                if committed or mode:
                    files.append(_File(path, committed, mode, before + size, is_hidden))
        return files

    def _look(self, path: bytes) -> tuple[str | None, int] | None:
        """Mode and size of what lies at `path`; None when it can be no part of a patch."""
        try:
            found = (
                self._absolute(path).lstat() if self._is_real(path.rpartition(b"/")[0]) else None
            )
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as error:
            self.left_out[path] = f"cannot be read: {error.strerror}"
            return None
        if found is None or stat.S_ISDIR(found.st_mode):
            return None, 0
        if stat.S_ISLNK(found.st_mode):
            return LINK, found.st_size
        if not stat.S_ISREG(found.st_mode):
            self.left_out[path] = "neither a file nor a link"
            return None
        return EXECUTABLE if found.st_mode & stat.S_IXUSR else REGULAR, found.st_size

    def _has_real_parents(self, directory: bytes) -> bool:
        """Whether no part of `directory` is a link: git takes what lies behind one for gone."""
        if not directory:
            return True
        above = directory.rpartition(b"/")[0]
        return self._is_real(above) and not self._absolute(directory).is_symlink()

    def _choose(self, files: Iterable[_File]) -> Iterable[_File]:
        """The files that may be kept and fit, smallest first."""
        total = 0
        for file in sorted(files, key=lambda file: (file.cost_bytes, file.path)):
            total += file.cost_bytes
            is_secret = _has_secret_name(file.path)
            if holds_secret(file.path):
                self.left_out[file.path] = LEAKS
                self.leaking.add(file.path)
            elif file.mode is None and (is_secret or file.is_hidden or total > self._max_bytes):
                self._delete(file.path)  # without its content
            elif is_secret:
                self.left_out[file.path] = LEAKS
            elif total > self._max_bytes:
                self.left_out[file.path] = f"beyond {self._max_bytes / 1e6:g} MB"
            else:
                yield file

    def _delete(self, path: bytes) -> None:
        self.files[path] = ChangedFile(path=path_text(path), mode=None, digest=None)

    def _read(self, file: _File) -> bytes | None:
        """The bytes of a file, the target of a link; None for nothing."""
        if file.mode is None:
            return None
        path = self._absolute(file.path)
        try:
            if file.mode == LINK:
                return os.fsencode(path.readlink())
            return _bytes_of(path, self._max_bytes)
        except OSError as error:
            self.left_out[file.path] = f"cannot be read: {error.strerror or error}"
            return None

    def _committed_sizes(self, known: Sequence[Committed]) -> list[int | None]:
        """Sizes of contents, None for those that are not there."""
        if not known:
            return []
        names = "".join(f"{committed.object_id}\n" for committed in known).encode()
        lines = self._scratch.git("cat-file", "--batch-check=%(objectsize)", feed=names)
        return [int(line) if line.isdigit() else None for line in lines.splitlines()]

    def _committed_contents(self, known: Mapping[bytes, Committed]) -> dict[bytes, bytes]:
        """What is committed at each path."""
        if not known:
            return {}
        names = "".join(f"{each.object_id}\n" for each in known.values()).encode()
        answer, at = self._scratch.git("cat-file", "--batch=%(objectsize)", feed=names), 0
        found: dict[bytes, bytes] = {}
        for path in known:
            begin = answer.index(b"\n", at) + 1
            end = begin + int(answer[at:begin])
            found[path], at = answer[begin:end], end + 1
        return found

    def _compare(
        self, before: dict[bytes, Committed], after: dict[bytes, tuple[str, bytes]]
    ) -> bytes:
        """Let git compare two commits that hold the paths and nothing else."""
        if not before and not after:
            return b""
        stream = [_commit(_BEFORE)]
        stream += [
            b"M %s %s %s\n" % (c.mode.encode(), c.object_id.encode(), quoted(path))
            for path, c in before.items()
        ]
        stream.append(_commit(_AFTER))
        for path, (mode, content) in after.items():
            stream.append(b"M %s inline %s\n" % (mode.encode(), quoted(path)))
            stream.append(b"data %d\n%s\n" % (len(content), content))
        self._scratch.git("fast-import", "--quiet", "--force", feed=b"".join(stream))
        renames = () if _replaces_link(before, after) else ("--find-renames=100%",)
        return self._scratch.git(*_DIFF, *renames, _BEFORE, _AFTER)

    def _without_secrets(
        self,
        data: bytes,
        before: Mapping[bytes, Committed],
        after: Mapping[bytes, tuple[str, bytes]],
    ) -> bytes:
        """`data` without secrets; fills `redacted`, and drops what cannot be kept without them."""
        sections = split_patch(data)
        texts = [each.path for each in sections if each.is_text and each.path in before]
        old = self._committed_contents({path: before[path] for path in texts})
        kept = [(each.path, self._cleared(each, old, after)) for each in sections]
        return b"".join(data for path, data in kept if path not in self.leaking)

    def _cleared(
        self,
        section: Section,
        old: Mapping[bytes, bytes],
        after: Mapping[bytes, tuple[str, bytes]],
    ) -> bytes:
        """`section` without secrets."""
        path = section.path
        mode, new = after.get(path, (None, b""))
        is_whole = section.is_binary or mode == LINK or is_wide(new)
        if is_whole and holds_secret(new, is_settings=has_settings(path)):
            self._drop(path)
            return b""
        cleared = clear(section, old.get(path, b""), new)
        if cleared is None:
            self._drop(path)
            return b""
        if cleared.removed:
            self.files[path] = msgspec.structs.replace(
                self.files[path],
                digest=_digest(cleared.content),
                redacted=redacted_lines(cleared.removed),
            )
        return cleared.data

    def _drop(self, path: bytes) -> None:
        """Leave `path` out; what is deleted is deleted without its content."""
        self.leaking.add(path)
        if path in self.files and self.files[path].mode is not None:
            del self.files[path]
            self.left_out[path] = LEAKS

    def _absolute(self, path: bytes) -> Path:
        return self._root / os.fsdecode(path)


def _bytes_of(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file; a link is not followed, a pipe not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no longer a file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError("it is growing")
    return content


def _replaces_link(before: Mapping[bytes, Committed], after: Iterable[bytes]) -> bool:
    """Whether a directory lies where a link was: ``git apply`` renames no link into that."""
    links = tuple(path + b"/" for path, old in before.items() if old.mode == LINK)
    return any(path.startswith(links) for path in after)


def _commit(reference: str) -> bytes:
    return b"commit %s\ncommitter i <i> 0 +0000\ndata 0\n" % reference.encode()


def _has_secret_name(path: bytes) -> bool:
    name = os.fsdecode(path).rpartition("/")[2].lower()
    if name in _NO_SECRET_FILES:
        return False
    return any(fnmatch(name, pattern) for pattern in _SECRET_FILES)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _is_sha256(trees: Sequence[Tree]) -> bool:
    return any(len(tree.status.commit or "") == 64 for tree in trees)  # noqa: PLR2004 - hex digits


def _reason(what: str, files: dict[bytes, str]) -> str | None:
    return f"{what} the patch: {_named(files)}" if files else None


def _named(files: dict[bytes, str]) -> str:
    named = [f"{redact_text(shown(path))} ({why})" for path, why in sorted(files.items())[:_NAMED]]
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(named) + more
