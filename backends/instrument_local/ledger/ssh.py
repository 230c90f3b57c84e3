"""Signatures of ``ssh-keygen -Y``: made and checked by that program, which every cluster has."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from instrument.errors import MissingDependencyError, UsageError

NAMESPACE: Final = "instrument-ledger"
_TIMEOUT_SECONDS: Final = 120


class Answer(NamedTuple):
    """What ssh-keygen said of a signature.

    Attributes:
        good: Whether it is one of the text, by whatever key.
        principal: Whose it is, by the file of allowed signers; None: nobody's in it.
        said: In its own words.
    """

    good: bool
    principal: str | None = None
    said: str = ""


def is_there() -> bool:
    """Whether there is ssh-keygen."""
    return shutil.which("ssh-keygen") is not None


def expect(what: str) -> None:
    """See that there is ssh-keygen, without which `what`.

    Raises:
        MissingDependencyError: There is none.
    """
    if not is_there():
        raise MissingDependencyError(
            f"ssh-keygen is not installed, and without it {what}; install openssh-client"
        )


def sign(text: str, key: Path) -> bytes:
    """The signature of `text` by the SSH key `key` (private, or public with an agent).

    Raises:
        UsageError: ssh-keygen refused; the message has its words.
        MissingDependencyError: There is no ssh-keygen.
    """
    expect("no SSH key can sign")
    done = _run(["-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)], text)
    if done.returncode:
        said = _one_line(done.stderr)
        raise UsageError(f"ssh-keygen cannot sign with {key}: {said}")
    return done.stdout


def check(text: str, signature: bytes, allowed_signers: Path | None) -> Answer:
    """Whether `signature` is one of `text`, and by whom. Needs ssh-keygen."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "signature"
        path.write_bytes(signature)
        of = ["-n", NAMESPACE, "-s", str(path)]
        done = _run(["-Y", "check-novalidate", *of], text)
        if done.returncode or allowed_signers is None:
            return Answer(good=done.returncode == 0, said=_one_line(done.stderr or done.stdout))
        allowed = ["-f", str(allowed_signers.absolute())]
        found = _run(["-Y", "find-principals", "-s", str(path), *allowed], text)
        principal = found.stdout.decode(errors="replace").partition("\n")[0]
        if found.returncode or not principal:
            return Answer(good=True, said=_one_line(found.stderr))
        done = _run(["-Y", "verify", *of, *allowed, "-I", principal], text)
        signer = None if done.returncode else principal
        return Answer(good=True, principal=signer, said=_one_line(done.stderr or done.stdout))


def _run(arguments: list[str], text: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["ssh-keygen", *arguments],
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
        env=os.environ | {"LC_ALL": "C"},
    )


def _one_line(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[:300]
