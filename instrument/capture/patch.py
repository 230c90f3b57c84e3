"""What differs from the commit, as one patch over all repositories of a tree, and its manifest.

The user's repository is only read. Each file is read once: what is scanned for secrets, digested
and put into the patch are the same bytes. git compares them in a directory of its own.
"""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from instrument.capture.changes import Difference, Large, Tree, shown
from instrument.capture.literals import added_lines, first_secret, holds_secret
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
_SECTION: Final = re.compile(rb"^(?=diff --git )", re.MULTILINE)
_CHANGED_LINE: Final = re.compile(rb"^[-+](.*\n?)", re.MULTILINE)
_HUNK_CONTEXT: Final = re.compile(rb"^(@@ [-+0-9, ]+ @@).*", re.MULTILINE)
_RENAMED: Final = re.compile(
    rb"diff --git .*\n(?:similarity .*\n|(?:old|new) mode .*\n)*"
    rb"rename from .*\nrename to (.*)"
)
_NAMED: Final = 5
_BEFORE: Final = "refs/heads/before"
_AFTER: Final = "refs/heads/after"
_DIFF: Final = (
    "diff-tree", "-r", "-p", "--binary", "--no-color", "--no-ext-diff", "--no-textconv",
)  # fmt: skip


class Patch(NamedTuple):
    """What differs from the commit.

    Attributes:
        data: For ``git apply``; None when nothing differs or it could not be made.
        manifest: Every file that differs.
        reason: What is left out and why; None when it is whole.
        leaks: What is left out because a secret stands in it, with the line where one is known.
    """

    data: bytes | None
    manifest: Manifest
    reason: str | None
    leaks: str | None = None


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
    leaks = {path: work.left_out[path] for path in work.leaking}
    return Patch(data, manifest, _reason(work.left_out), _named(leaks) or None)


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
                digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
                after[file.path] = file.mode, content
                self.files[file.path] = ChangedFile(
                    path=path_text(file.path), mode=file.mode, digest=digest
                )
            if file.committed and (file.mode is None or content is not None):
                before[file.path] = file.committed
        return self._without_secrets(self._compare(before, after), after) or None

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
            if file.mode is None and (is_secret or file.is_hidden or total > self._max_bytes):
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

    def _without_secrets(self, data: bytes, after: dict[bytes, tuple[str, bytes]]) -> bytes:
        """`data` without what holds a secret; context that holds one is taken away."""
        kept = []
        for section in _SECTION.split(data):
            path = _path_of(section)
            if path in after and holds_secret(path):
                self._drop(path)
            elif b"\nGIT binary patch\n" in section:
                if holds_secret(after[path][1] if path in after else b""):
                    self._drop(path)
                else:
                    kept.append(section)
            elif not holds_secret(_text_of(section)):
                kept.append(section)
            else:
                kept.append(self._narrowed(path, section))
        return b"".join(section for section in kept if _path_of(section) not in self.leaking)

    def _narrowed(self, path: bytes, section: bytes) -> bytes:
        """`section` without context, or nothing where what is changed holds the secret itself."""
        if holds_secret(b"".join(_CHANGED_LINE.findall(_text_of(section)))):
            self._drop(path, first_secret(added_lines(_text_of(section))))
            return b""
        magic = f":(top,literal){os.fsdecode(path)}"
        bare = self._scratch.git(*_DIFF, "--unified=0", _BEFORE, _AFTER, "--", magic)
        return _HUNK_CONTEXT.sub(rb"\1", bare)

    def _drop(self, path: bytes, line: int | None = None) -> None:
        """Leave `path` out; what is deleted is deleted without its content."""
        if path in self.files and self.files[path].mode is not None:
            del self.files[path]
            self.left_out[path] = f"line {line} {LEAKS}" if line else LEAKS
            self.leaking.add(path)

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


def _text_of(section: bytes) -> bytes:
    """The hunks of a section, without its header."""
    return section[section.find(b"\n@@") + 1 :] if b"\n@@" in section else b""


def _path_of(section: bytes) -> bytes:
    """The path that a section makes, changes or deletes."""
    renamed = _RENAMED.match(section)
    if renamed:
        return _unquoted(renamed[1])
    header = section.partition(b"\n")[0].removeprefix(b"diff --git ")
    return _unquoted(header[: (len(header) - 1) // 2]).removeprefix(b"a/")


def _unquoted(name: bytes) -> bytes:
    return name[1:-1].decode("unicode_escape").encode("latin-1") if name[:1] == b'"' else name


def _is_sha256(trees: Sequence[Tree]) -> bool:
    return any(len(tree.status.commit or "") == 64 for tree in trees)  # noqa: PLR2004 - hex digits


def _reason(left_out: dict[bytes, str]) -> str | None:
    return f"left out of the patch: {_named(left_out)}" if left_out else None


def _named(left_out: dict[bytes, str]) -> str:
    named = [
        f"{redact_text(shown(path))} ({why})" for path, why in sorted(left_out.items())[:_NAMED]
    ]
    more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    return ", ".join(named) + more
