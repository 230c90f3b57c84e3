"""Generations: what models were really called with, and how often."""

from typing import Any

from instrument.records.base import Record


class GenerationCalled(Record, frozen=True, kw_only=True, tag="generation_called"):
    """A model was called in a way that is new in this process; what follows of it is counted.

    Attributes:
        generation_id: Number of this way of calling in this journal, from 1.
        call: The call, such as ``transformers.LlamaForCausalLM.generate``; of calls of several
            models that are counted together, the library's name alone is meant.
        library: The library and its version.
        model: ``class_name``; of the load that the model comes from ``load_id``, what it
            ``requested`` and, where it is known by then, the ``digest``. When its parameters are no
            longer those of the load, ``changed_since_load`` is true, the ``digest`` None, and
            ``reason`` says why; where that cannot be known, ``changed_since_load`` is None. Empty
            where calls of several models are counted together.
        settings: The settings as the library resolved them from the model's own, the caller's
            configuration and the arguments of the call; those that are not set are left out. None
            when they are not known: the call failed before, or there were too many others.
        options: What else decides the result: ``pipeline``, ``streamer``, ``assistant_model``,
            ``logits_processor`` and such, by class; names of ``adapters``; ``training_mode`` when
            the model was in it. Empty where there were too many other ways.
        chat_template: ``digest`` and ``options`` of the chat template that this thread or task
            applied last before the call, and the ``load_id`` of the tokenizer; None when none was.
        random_state: Where the call samples: the ``seed`` of torch's generator and the digest of
            each generator's state when the first such call began; else None.
        call_site: ``file:line`` of the user's code that made the first such call, or None.
    """

    generation_id: int
    call: str
    library: str
    model: dict[str, Any]
    settings: dict[str, Any] | None
    options: dict[str, Any]
    chat_template: dict[str, Any] | None
    random_state: dict[str, Any] | None
    call_site: str | None


class GenerationsCounted(Record, frozen=True, kw_only=True, tag="generations_counted"):
    """The calls of one `GenerationCalled` until now; the last such record has the whole.

    Written after the first call, then whenever ten seconds and a tenth of the time since the first
    have gone by, and at the end: a process that is killed takes at most that much with it.

    Attributes:
        generation_id: As in `GenerationCalled`.
        calls: Calls that have ended.
        failed: Those that an exception ended.
        prompts: Prompts they were given: the rows of their batches.
        sequences: Sequences they returned.
        prompt_tokens: Tokens of the prompts, filling included.
        new_tokens: Tokens generated; a sequence counts as the longest of its batch, to which it is
            filled up.
        duration_seconds: Of all the calls together, by a monotonic clock.
        error: Type and message of the last exception, or None.
        random_state: As in `GenerationCalled`, when the last call that is counted began.
    """

    generation_id: int
    calls: int
    failed: int
    prompts: int
    sequences: int
    prompt_tokens: int
    new_tokens: int
    duration_seconds: float
    error: str | None = None
    random_state: dict[str, Any] | None = None
