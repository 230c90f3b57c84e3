"""Models that were loaded: what really was, by content."""

from typing import Any

from instrument.records.base import Record
from instrument.vocabulary import File


class ModelLoaded(Record, frozen=True, kw_only=True, tag="model_loaded"):
    """A library loaded a model, a tokenizer or weights. One record for one call of the user's.

    Attributes:
        load_id: Number of the load in this process; no other load or read has it.
        what: ``model``, ``tokenizer``, ``processor``, ``config``, ``adapter``, ``weights``, or
            ``download`` for files that were fetched and not loaded.
        loader: The call, such as ``transformers.LlamaForCausalLM.from_pretrained``.
        library: The library and its version, such as ``transformers 5.23.0``.
        requested: Id or path as the call got it, secrets removed; None when it was no name.
        revision: The revision that was asked for, or None.
        commit: The commit of the model hub that it resolved to, or None.
        facts: What the loaded object says of itself: class, dtype, number of parameters,
            quantization, devices, digest of the chat template …, and under ``asked`` the options
            of the call that decide what is loaded; a fact that is not known is absent.
        call_site: ``file:line`` of the user's code, or None.
        duration_seconds: How long the load took, by a monotonic clock.
        parent_load_id: The load that this one was a part of, or None.
        error: Type and message of the exception that ended the load, or None.
    """

    load_id: int
    what: str
    loader: str
    library: str
    requested: str | None
    revision: str | None
    commit: str | None
    facts: dict[str, Any]
    call_site: str | None
    duration_seconds: float
    parent_load_id: int | None = None
    error: str | None = None


class ContentIdentified(Record, frozen=True, kw_only=True, tag="content_identified"):
    """The content of a load or a read: hashing runs beside it and ends later.

    Attributes:
        load_id: The load or read.
        files: The files that were read, sorted by path: that within the directory that was asked
            for, else within the one that holds them all. Of a file that could not be hashed the
            digest is empty.
        digest: SHA-256 of the one file; of several files, of their listing as ``sha256sum`` prints
            it, as of an artifact that is a tree. None when one is missing from it.
        reason: Why `digest` is None, or what is in doubt; else None.
        hashing_seconds: Time of the processor that hashing took; about 0 for what was known.
    """

    load_id: int
    files: tuple[File, ...]
    digest: str | None
    reason: str | None
    hashing_seconds: float


class LoadsCounted(Record, frozen=True, kw_only=True, tag="loads_counted"):
    """Loads and reads of a process that have no record of their own; written at its end.

    Attributes:
        loader: The call, such as ``torch.load``.
        repeated: How often it read again a file that has a record and had not changed.
        left_out: How many of its calls came after the most that are told.
        files: How many files those read.
        size_bytes: Their size together.
        digest: SHA-256 of their listing as ``sha256sum`` prints it, as of a tree; of one file its
            own. None where there are none, or one is missing from it.
        reason: Why `digest` is None, or what is in doubt; else None.
    """

    loader: str
    repeated: int
    left_out: int
    files: int = 0
    size_bytes: int = 0
    digest: str | None = None
    reason: str | None = None
