"""The local store: a directory that keeps everything, on any file system, with no server.

Nothing in it is ever rewritten. Files are finished under another name and linked into place;
journals have one writer each and are only appended to; whatever answers questions about many runs
is a cache outside. So any number of processes and hosts write at once without locks, and a crash
at any moment leaves a store that is whole up to the last record that was acknowledged.

    store.py        joins the parts             layout.py         paths and FORMAT
    files.py        how a file comes to be      stamps.py         small files with their own check
    objects.py      bytes by digest             ingest.py         many files at once
    sources.py      the user's files            hashes.py         digests of unchanged files
    copying.py      copies and hashes at once   errands.py        calls beside the caller's
    quarantine.py   where damaged files go      healing.py        objects that are stored again
    versions.py     artifacts and aliases       references.py     what a record needs to be there
    version_files.py  their files               version_evidence.py  which of them belong here
    journal.py      records of one process      journal_files.py  its files
    lines.py        what a journal's line is    flusher.py        the background thread
    liveness.py     who is recording now        maintenance.py    who may change what is there
    run_files.py    a run's files, packed too   imported.py       runs that a bundle brought
    summaries.py    runs, sealed or derived     index.py          many runs, in SQLite
    search.py       conditions as SQL           usage.py          how much there is of what
    verify*.py      check every byte and file   findings.py       what they found
    mounts.py       network or local disk       patient_store.py  a store that may hang
    patience.py     waiting, not for ever       spool.py          records on a local disk meanwhile
"""

from pathlib import Path

from instrument.protocols import Clock
from instrument_local.mounts import may_hang
from instrument_local.store import LocalStore

__all__ = ["LocalStore", "open_store"]


def open_store(path: Path, clock: Clock) -> LocalStore:
    """The store in the directory `path`; made on the first write, not here.

    Raises:
        StoreVersionError: A newer version wrote the store.
        StoreError: `path` cannot be read.
    """
    if may_hang(path):
        from instrument_local.patient_store import PatientStore

        return PatientStore(path, clock)
    return LocalStore(path, clock)
