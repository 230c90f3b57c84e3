"""Our Ed25519 keys: a private half that stays in the user's home, a public half to hand out.

Making and using the private half needs `cryptography`; nothing that checks does.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from instrument.errors import MissingDependencyError, NotFoundError, UsageError
from instrument_local.ledger.notes import Key, Signature, check_name, parse_key

_OTHERS: Final = 0o077


class Signer(NamedTuple):
    """A private key, ready to sign.

    Attributes:
        key: Its public half.
        sign_bytes: Makes the 64 bytes of a signature.
    """

    key: Key
    sign_bytes: Callable[[bytes], bytes]

    def sign(self, text: str) -> Signature:
        """The signature under `text`."""
        return Signature(self.key.name, self.key.id, self.sign_bytes(text.encode()))


def usual_path() -> Path:
    """Where a user's key is kept."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return base / "instrument/ledger.key"


def make(path: Path, name: str, passphrase: bytes | None) -> Key:
    """Make a key: `path` and, with the public half, `path` and ``.pub``.

    Raises:
        UsageError: `name` cannot be a name, or `path` is there already.
        MissingDependencyError: `cryptography` is not installed.
    """
    if not check_name(name):
        raise UsageError(f"{name!r:.80} cannot name a key: use one word without a plus")
    serialization, ed25519 = _cryptography()
    private = ed25519.Ed25519PrivateKey.generate()
    scheme = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme
    )
    key = Key(name, private.public_key().public_bytes_raw())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        _write(path, pem, 0o600)
        _write(public_path(path), f"{key}\n".encode(), 0o644)
    except FileExistsError as error:
        raise UsageError(
            f"{error.filename} is there already; `instrument ledger key new --output FILE` makes "
            "one in another file, and `instrument ledger key rotate FILE` lets that one sign"
        ) from error
    return key


def public_path(path: Path) -> Path:
    """Where the public half of the key `path` is kept."""
    return path.with_name(path.name + ".pub")


def public(path: Path) -> Key:
    """The public half of the key `path`.

    Raises:
        NotFoundError: It is not there.
        UsageError: It is damaged.
    """
    try:
        return parse_key(public_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{public_path(path)} cannot be read: {error}") from error


def _missing(path: Path) -> NotFoundError:
    """Says why there is no public half of the key `path`."""
    if path.suffix == ".pub" and path.exists():
        return NotFoundError(
            f"{path} is the public half of a key; name its private half, {path.with_suffix('')}"
        )
    if path.exists():
        return NotFoundError(f"{path} has no public half beside it: {public_path(path)} is missing")
    return NotFoundError(
        f"there is no private key at {path}; `instrument ledger key new --output {path}` makes one"
    )


def load(path: Path, passphrase: bytes | None) -> Signer:
    """The private key `path`.

    Raises:
        NotFoundError: It is not there.
        UsageError: Others can read it, the passphrase is wrong or missing, or it is no such key.
        MissingDependencyError: `cryptography` is not installed.
    """
    key = public(path)
    _check_private(path)
    serialization, ed25519 = _cryptography()
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), passphrase or None)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {_why(str(error), passphrase)}") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key")
    if private.public_key().public_bytes_raw() != key.public:
        raise UsageError(f"{public_path(path)} is not the public half of {path}")
    return Signer(key, private.sign)


def put_aside(key: Key) -> Path:
    """Where the usual key `key` is kept when another takes its place."""
    path = usual_path()
    return path.with_name(f"{path.name}.{key.id.hex()}")


def path_of(key: Key) -> Path | None:
    """Where the key `key` is, at the usual place or put aside; None: at neither."""
    return next((path for path in (usual_path(), put_aside(key)) if _is_at(path, key)), None)


def replace_usual(key: Key, new: Path) -> bool:
    """Copy the key `new` to the usual place if `key` is there, which is put aside and never lost.

    A link there, to a key on a stick say, stays as it is.

    Returns:
        Whether `new` is the usual key now.

    Raises:
        OSError: It cannot be read or written.
        UsageError: Another key is where `key` is to be put aside.
    """
    path, aside = usual_path(), put_aside(key)
    if path.is_symlink() or not _is_at(path, key) or not new.is_file():
        return False
    for source, target, mode in (
        (path, aside, 0o600),
        (public_path(path), public_path(aside), 0o644),
    ):
        _copy_once(source, target, mode)
    for source, target, mode in (
        (new, path, 0o600),
        (public_path(new), public_path(path), 0o644),
    ):
        _replace(target, source.read_bytes(), mode)
    return True


def not_in_force(key: Key, path: Path, current: Key) -> UsageError:
    """Says how to go on when `key`, which is in `path`, cannot sign because `current` does."""
    file = file_of(current)
    return UsageError(
        f"{key} is not the key of this ledger, which is {current}; sign with that one, "
        f"`instrument ledger sign --key {file}`, or let this one sign from now on, "
        f"`instrument ledger key rotate {path} --key {file}` (`--lost` where nobody has {file})"
    )


def file_of(key: Key) -> Path:
    """As `path_of`, for people: ``FILE`` where nobody knows."""
    return path_of(key) or Path("FILE")


def make_usual(replaced: Key, new: Path) -> None:
    """As `replace_usual`, after the ledger was told.

    Raises:
        UsageError: It could not; the message says how to sign all the same.
    """
    try:
        replace_usual(replaced, new)
    except (OSError, UsageError) as error:
        raise UsageError(
            f"{new} signs from now on, as the ledger says, but could not become the usual key "
            f"({error}); sign with `instrument ledger sign --key {new}`"
        ) from error


def needs_passphrase(path: Path) -> bool:
    """Whether the private key `path` is encrypted."""
    try:
        return path.read_bytes().startswith(b"-----BEGIN ENCRYPTED")
    except OSError:
        return False


def _check_private(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise NotFoundError(
            f"the private key {path} is not there; restore it, or sign with another"
        ) from None
    if mode & _OTHERS:
        raise UsageError(
            f"others can read the private key {path} (mode {mode:o}); chmod 600 it, and think "
            "about a new one"
        )


def _why(said: str, passphrase: bytes | None) -> str:
    if "not given" in said:
        return "the key has a passphrase; give it when asked, or in INSTRUMENT_LEDGER_PASSPHRASE"
    if "not encrypted" in said:
        return "the key has no passphrase, and one was given"
    return (
        "the passphrase is wrong, or the file is damaged" if passphrase else "the file is damaged"
    )


def _is_at(path: Path, key: Key) -> bool:
    """Whether both halves of `key` are at `path`."""
    try:
        return path.is_file() and public(path) == key
    except (NotFoundError, UsageError):
        return False


def _copy_once(source: Path, target: Path, mode: int) -> None:
    """Copy `source` to `target`, on the disk, unless that is there with the same content."""
    data = source.read_bytes()
    try:
        _write(target, data, mode)
    except FileExistsError:
        if target.read_bytes() != data:
            raise UsageError(f"{target} is there with another key; move it away") from None
    _sync_directory(target.parent)


def _replace(path: Path, data: bytes, mode: int) -> None:
    written = path.with_name(f"{path.name}.{os.getpid()}.new")
    written.unlink(missing_ok=True)
    _write(written, data, mode)
    written.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(fd)


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingDependencyError(
            "signing needs cryptography, which is not installed; pip install "
            "'instrument-ml[signing]', or sign with `--ssh KEY`, which needs ssh-keygen alone and "
            "counts in no proof or bundle"
        ) from error
    return serialization, ed25519
