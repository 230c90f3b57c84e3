"""What is checked of a model and its tokenizer, and what is said when a check fails."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

Check = dict[str, Any]
"""``check``: its name, ``passed``, and ``details``."""
PLAIN_TEXT: Final = "The rain had stopped, and people came out of their houses."


def checks_of_load(
    provenance: dict[str, Any], asked: str | None, added: Iterable[str]
) -> Iterator[Check]:
    """The checks of what was measured.

    Args:
        provenance: What was measured, sentinels included.
        asked: The quantization that was asked for, or None.
        added: Control tokens that the tokenizer made of `PLAIN_TEXT`.
    """
    yield check("template", passed=provenance["template_disabled"])
    found = sorted(added)
    yield check("tokenizer", passed=not found, control_tokens=found)
    seen = provenance["quantization"]
    yield check("quantization", passed=asked in {None, seen}, asked=asked, seen=seen)
    for test in provenance["sentinel_tests"]:
        yield check("sentinel", **test)


def check(name: str, *, passed: bool, **details: Any) -> Check:
    """One check that was made."""
    return {"check": name, "passed": passed, "details": details}


def complaint(failed: Check) -> str:
    """What is wrong, and the way out."""
    return _COMPLAINTS[failed["check"]](failed["details"])


def _of_quantization(details: dict[str, Any]) -> str:
    return (
        f"quantization={details['asked']!r} was asked for, and the weights are "
        f"{details['seen']!r}; ask for None to take the model as it comes"
    )


def _of_sentinel(details: dict[str, Any]) -> str:
    found = ", ".join(details["control_tokens"])
    return (
        f"the model continues {details['prompt']!r} with {details['response']!r}"
        f"{found and f', which has {found}'}; expected was {details['expected']}: load a base "
        "model, or use strict=False"
    )


def _of_text(details: dict[str, Any]) -> str:
    return (
        f"the text holds the control tokens {', '.join(details['control_tokens'])}; take them out, "
        "or use strict=False"
    )


_COMPLAINTS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "template": lambda _: (
        "apply_chat_template still works on the tokenizer; its class does not let it be disabled"
    ),
    "tokenizer": lambda details: (
        f"the tokenizer puts {', '.join(details['control_tokens'])} into plain text by itself; "
        "use the tokenizer of a base model"
    ),
    "quantization": _of_quantization,
    "sentinel": _of_sentinel,
    "text": _of_text,
}
