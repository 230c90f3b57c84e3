"""Checks of models that were loaded to be clean."""

from typing import Any

from instrument.records.base import Record


class ModelChecked(Record, frozen=True, kw_only=True, tag="model_checked"):
    """`CleanModelLoader` made a check.

    Attributes:
        load_id: The load of the model, as `ModelLoaded.load_id`; None when it was not seen.
        check: ``template``, ``tokenizer``, ``quantization``, ``sentinel``, or ``text`` for a text
            with control tokens; the same tokens are told once.
        passed: Whether it was as it should be.
        details: What was found: ``control_tokens``; of a quantization what was ``asked`` and
            ``seen``; of a sentinel its ``prompt``, ``response`` and what was ``expected``.
    """

    load_id: int | None
    check: str
    passed: bool
    details: dict[str, Any]
