"""Prompts whose greedy continuation shows whether a model still talks as in a chat."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from instrument.provenance.control_tokens import ControlTokens

NEW_TOKENS: Final = 24


class Sentinel(NamedTuple):
    """A prompt that is really continued when the model is loaded.

    Attributes:
        prompt: The prompt.
        expected: A regular expression that must be found in the continuation; None for any text.
            In either case no token of a chat may be in it.
    """

    prompt: str
    expected: str | None = None


SENTINELS: Final = (
    Sentinel("The capital of France is"),
    Sentinel("What is two plus two?"),
    Sentinel("Translate into German: Good morning."),
)
"""Plain text, a question and an order: a model that was tuned for chats ends its answer to the
latter two with the token that ends a turn."""


def run_sentinels(
    sentinels: Iterable[Sentinel],
    complete: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    controls: ControlTokens,
) -> list[dict[str, Any]]:
    """Continue each prompt, and say whether what came is as expected.

    Args:
        sentinels: The prompts.
        complete: Gives the ids of the greedy continuation of a prompt.
        decode: Turns ids into text, control tokens included.
        controls: What must not be among the ids, nor spelled in the text.
    """
    return [
        _judged(sentinel, complete(sentinel.prompt), decode, controls) for sentinel in sentinels
    ]


def _judged(
    sentinel: Sentinel,
    ids: list[int],
    decode: Callable[[list[int]], str],
    controls: ControlTokens,
) -> dict[str, Any]:
    response = decode(ids)
    named = {controls.ids[number] for number in ids if number in controls.ids}
    found = controls.chat & {*named, *controls.in_text(response)}
    pattern = sentinel.expected
    as_expected = pattern is None or re.search(pattern, response) is not None
    return {
        "prompt": sentinel.prompt,
        "response": response,
        "expected": "no chat token" if pattern is None else f"/{pattern}/, no chat token",
        "control_tokens": sorted(found),
        "passed": as_expected and not found,
    }
