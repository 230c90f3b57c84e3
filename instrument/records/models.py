"""Models that were loaded: what really was, by content."""

from typing import Any

from instrument.records.base import Record
from instrument.vocabulary import File


class ModelLoaded(Record, frozen=True, kw_only=True, tag="model_loaded"):
    """A library loaded a model, a tokenizer or weights. One record for one call of the user's.

    Attributes:
        load_id: Number of the load in this journal, from 1.
        what: ``model``, ``tokenizer``, ``processor``, ``adapter`` or ``weights``.
        loader: The call, such as ``transformers.LlamaForCausalLM.from_pretrained``.
        library: The library and its version, such as ``transformers 5.23.0``.
        requested: Id or path as the call got it, secrets removed; None when it was no name.
        revision: The revision that was asked for, or None.
        commit: The commit of the model hub that it resolved to, or None.
        facts: What the loaded object says of itself: class, dtype, number of parameters,
            quantization, device map, chat template …; a fact that is not known is absent.
        call_site: ``file:line`` of the user's code, or None.
        duration_seconds: How long the load took, by a monotonic clock.
        parent_load_id: The load that this one was a part of, or None.
        error: Type of the exception that ended the load, or None.
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


class ModelIdentified(Record, frozen=True, kw_only=True, tag="model_identified"):
    """The content of a load: hashing runs beside the load and ends later.

    Attributes:
        load_id: The load.
        files: The files that were read, by path within `root`, sorted; of a file that could not be
            hashed the digest is empty.
        digest: Digest of the listing of `files`, as of an artifact that is a tree; None when a file
            is missing from it.
        reason: Why `digest` is None, or what is in doubt; else None.
        hashing_seconds: Time of the processor that hashing took; 0 for what was known.
    """

    load_id: int
    files: tuple[File, ...]
    digest: str | None
    reason: str | None
    hashing_seconds: float
