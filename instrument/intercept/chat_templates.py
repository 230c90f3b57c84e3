"""The chat template that was applied last: how the prompts of a generation were made."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from instrument.intercept import session
from instrument.intercept.facts import digest_of_text, plain
from instrument.intercept.loads import problem
from instrument.intercept.origins import origin_of
from instrument.intercept.targets import Target

_MAX_KNOWN: Final = 1000
_NO_OPTIONS: Final = frozenset(
    {"chat_template", "conversation", "padding", "return_dict", "return_tensors", "tokenize"}
)
_BY_DIGEST: Final = frozenset({"documents", "tools"})
_last: ContextVar[dict[str, Any] | None] = ContextVar("instrument_chat_template", default=None)
_known: Final[dict[str, dict[str, Any]]] = {}


def last_template() -> dict[str, Any] | None:
    """Facts of the template that this thread or task applied last; the same object for the same."""
    return _last.get()


def _apply(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    result = wrapped(*args, **kwargs)
    if session.find() is not None:
        try:
            _last.set(_facts(instance, kwargs))
        except Exception as error:
            problem("read the chat template that was applied", error)
    return result


def _facts(tokenizer: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Digest of the template, and what the caller set; of tools and documents the digest."""
    options = {
        name: _option(name, value)
        for name, value in kwargs.items()
        if value is not None and name not in _NO_OPTIONS
    }
    facts: dict[str, Any] = {"digest": digest_of_text(_template(tokenizer, kwargs))}
    facts["options"] = options
    origin = origin_of(tokenizer)
    if origin is not None:
        facts["load_id"] = origin.load_id
    key = msgspec.json.encode(facts, order="sorted").decode()
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    return _known.setdefault(key, facts)


def _template(tokenizer: Any, kwargs: dict[str, Any]) -> str:
    """The text of the template: given, by name or the tokenizer's own."""
    given = kwargs.get("chat_template")
    own = getattr(tokenizer, "chat_template", None)
    if isinstance(own, dict):
        name = given or ("tool_use" if kwargs.get("tools") and "tool_use" in own else "default")
        return str(own.get(name, given))
    return str(own if given is None else given)


def _option(name: str, value: Any) -> Any:
    told = plain(value)
    return digest_of_text(msgspec.json.encode(told).decode()) if name in _BY_DIGEST else told


TARGETS: Final = (
    Target(
        "transformers.tokenization_utils_base",
        "PreTrainedTokenizerBase.apply_chat_template",
        _apply,
    ),
    Target("transformers.processing_utils", "ProcessorMixin.apply_chat_template", _apply),
)
