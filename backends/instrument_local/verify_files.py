"""Looks at what lies in a store, without reading it: what is ours, and how it is kept.

Directories and files are asked by name and never followed: a symbolic link where one of ours should
be is damage, whatever it points at. Files that are nobody's, other people's, or open to others are
told as notes.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from instrument_local.findings import Findings
from instrument_local.layout import Layout

_HEX: Final = "[0-9a-f]"
_RUN: Final = "[A-Za-z0-9][A-Za-z0-9_-]{3,63}"
# What may lie where. Everything below a directory that ends in ** is the business of others.
_OURS: Final = (
    r"FORMAT|\.gitignore",
    rf"objects(/(?P<two>{_HEX}{{2}})(/(?P=two){_HEX}{{62}})?)?",
    r"artifacts(/[^/]+(/(v[1-9][0-9]{0,8}|[^/]+@[1-9][0-9]*)\.json)?)?",
    rf"runs(/[0-9]{{6}}(/{_RUN}(\.[0-9]+)?)?)?",
    rf"runs/[0-9]{{6}}/{_RUN}/([A-Za-z0-9._-]+\.jsonl|run(\.([2-9]|[1-9][0-9]{{1,5}}))?\.json|imported\.{_HEX}{{16}}\.json)",
    rf"packs(/{_HEX}{{64}}\.pack)?",
    rf"open(/{_RUN}~{_HEX}+\.(json|reserve))?",
    r"ledger(/(pending|entries|heads|checkpoints))?",
    r"ledger/pending/[^/]+~[^/]+\.json",
    r"ledger/entries/[0-9]{12}-[0-9]{4}\.jsonl",
    r"ledger/heads/[0-9]{12}\.json",
    r"ledger/checkpoints/[0-9]+(\.[0-9]+)?\.(note|ssh)",
    r"maintenance(/[0-9]+\.(json|done))?",
    r"(tmp|trash)(/.*)?",
    r"mirrors(/.*)?",
    r"quarantine(/.*)?",
)
_IS_OURS: Final = re.compile("|".join(f"(?:{each})" for each in _OURS))
_IS_DIRECTORY: Final = re.compile(
    rf"objects(/{_HEX}{{2}})?|artifacts(/[^/]+)?|runs(/[0-9]{{6}}(/{_RUN})?)?|packs|open|maintenance|"
    r"ledger(/(pending|entries|heads|checkpoints))?|mirrors|quarantine|tmp|trash"
)
_UNSEEN: Final = ("mirrors/", "quarantine/", "tmp/", "trash/")
_WRITABLE_BY_OTHERS: Final = 0o022


def check_files(layout: Layout, findings: Findings, part: Path | None = None) -> None:
    """Note down what should not lie in the store, or not like this.

    Args:
        layout: Where the store keeps things.
        findings: Takes what is found.
        part: Look at this directory only.
    """
    root = str(layout.root)
    owner = os.lstat(root).st_uid
    for path, status in _walk(root, f"{layout.relative(part)}/" if part else ""):
        where = layout.root / path
        if not _IS_OURS.fullmatch(path):
            findings.add("unexpected_file", where, None, "a file of somebody else", "note")
        elif stat.S_ISLNK(status.st_mode):
            findings.add("symbolic_link", where, "no link", f"a link to {_target(where)}")
        elif _IS_DIRECTORY.fullmatch(path) and not stat.S_ISDIR(status.st_mode):
            findings.add("unexpected_file", where, "a directory", "a file of somebody else", "note")
        elif not path.startswith(_UNSEEN):
            _check_mode(findings, where, status, owner)
    if part is None:
        _check_mode(findings, layout.root, os.lstat(root), owner)


def _walk(root: str, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every path below `root`, relative to it, with what it is; not below what is a stranger's."""
    try:
        entries = list(os.scandir(f"{root}/{below}"))
    except OSError:
        return  # gone, or not to be read, which its own check tells
    for entry in entries:
        path = f"{below}{entry.name}"
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue  # gone meanwhile
        yield path, status
        if stat.S_ISDIR(status.st_mode) and _IS_OURS.fullmatch(path) and path + "/" not in _UNSEEN:
            yield from _walk(root, f"{path}/")


def _check_mode(findings: Findings, path: Path, status: os.stat_result, owner: int) -> None:
    if status.st_mode & _WRITABLE_BY_OTHERS:
        found = f"mode {stat.S_IMODE(status.st_mode):04o}: others may write to it"
        findings.add("open_to_others", path, "no write permission for others", found, "note")
    if status.st_uid not in {owner, 0}:
        expected = f"user {owner}, as the store"
        findings.add("foreign_owner", path, expected, f"user {status.st_uid}", "note")


def _target(path: Path) -> str:
    try:
        return os.fsdecode(path.readlink())[:200]
    except OSError:
        return "somewhere"
