"""What surrounds the run: code, environment, random state."""

from typing import Any

from instrument.records.base import Record
from instrument.vocabulary import GitState, GivenSeed, Health


class CodeCaptured(Record, frozen=True, kw_only=True, tag="code_captured"):
    """The user's code at the start, before anything can change it.

    The first such record has what must be known at once; a second one, from the background, has
    the rest and takes its place, and so does that of the end of a run in a notebook.

    Attributes:
        git: State of the repository, or None.
        reason: Why `git` is None or not whole; None when it is whole.
        patch: Digest of the object that holds what differs from the commit, or None.
        manifest: Digest of the object that lists each file that differs, with the digest of its
            bytes, and what was left out; None when nothing differs.
        script: Digest of the source of the running script, for code in no repository, or None.
        cells: In IPython, digest of the sources of the cells that were executed up to the end of
            the run, which a last such record has; empty before that, None elsewhere.
    """

    git: GitState | None
    reason: str | None = None
    patch: str | None = None
    manifest: str | None = None
    script: str | None = None
    cells: str | None = None


class EnvironmentCaptured(Record, frozen=True, kw_only=True, tag="environment_captured"):
    """The snapshot of the environment.

    Attributes:
        level: 1, 2 or 3 (`EnvironmentCaptureLevel`).
        snapshot: Digest of the object that holds the snapshot; equal environments share one.
        health: How each part of the capture went.
        place: What tells this place from an equal one: ids of GPUs, container, CI job.
        files: Digests of the objects with the files that were kept, such as lock files, by name.
    """

    level: int
    snapshot: str | None
    health: tuple[Health, ...]
    place: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it
    files: dict[str, str] = {}  # noqa: RUF012 - as above


class SeedsRecorded(Record, frozen=True, kw_only=True, tag="seeds_recorded"):
    """Random state and determinism settings.

    Attributes:
        seed: The seed that was asked for and set, or None when none was.
        set_in: Libraries in which it was set.
        states: Digest of the random state of each loaded library; none in a record at the end of a
            program, which tells the settings of what it has loaded meanwhile, nor in one of
            `given`.
        flags: Settings that decide whether a result repeats (cuDNN, TF32, PYTHONHASHSEED, threads).
        health: What of all that could not be read, and why; empty when everything was.
        given: What the program itself seeded since the last such record, by library: ``random``,
            ``numpy``, ``torch``.
    """

    seed: int | None
    set_in: tuple[str, ...]
    states: dict[str, str]
    flags: dict[str, Any]
    health: tuple[Health, ...] = ()
    given: dict[str, GivenSeed] = {}  # noqa: RUF012 - as above
