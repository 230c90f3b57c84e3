"""What users give, checked where they give it: steps, names, numbers, lists.

A record that the store cannot write, or could not read again, is never made: who gave it hears of
it at the call, in one line, with the way out.
"""

import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from instrument.canonical import bits_of, plain_float, shortest
from instrument.errors import UsageError

MAX_STEP: Final = 2**63 - 1
MAX_METRIC_NAME: Final = 250
"""It is a part of every line that tells the metric, and mirrors take no longer ones."""
MAX_LABEL: Final = 250
"""Of a run or a project: it stands in every list of runs."""
MAX_TEXT: Final = 1000
MAX_SEED: Final = 2**32 - 1
"""numpy takes no larger one."""
_MAX_BITS_SHOWN: Final = 1024


class Named(Protocol):
    """An artifact or a version of one."""

    @property
    def ref(self) -> str:
        """``name:vN``."""


Referring: TypeAlias = str | Named


def step_number(step: object) -> int:
    """`step` as an int: Python's, numpy's or torch's, from 0.

    Raises:
        UsageError: It is no integer, or is not one of an int64 from 0.
    """
    try:
        number = operator.index(step)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        number = -1
    if isinstance(step, bool) or not 0 <= number <= MAX_STEP:
        raise UsageError(f"step={shown(step)} is no step; use an integer from 0 to 2**63 - 1")
    return number


def step_of(metrics: object, step: object) -> int:
    """`step` as `step_number` takes it; of ``("loss", 0.5)`` it is not the step that is wrong.

    Raises:
        UsageError: It is no step, or `metrics` is no mapping either.
    """
    try:
        return step_number(step)
    except UsageError:
        named_numbers(metrics)
        raise


def metric_name(name: object) -> str:
    """`name`, if it can name a metric: any text of 1 to 250 characters.

    Raises:
        UsageError: It cannot.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_METRIC_NAME or not _encodes(name):
        raise UsageError(
            f"{shown(name)} cannot name a metric; use a text of 1 to {MAX_METRIC_NAME} characters"
        )
    return str.__str__(name)


def number(name: object, value: Any) -> float | str:
    """`value` as a number that JSON can hold (see `instrument.canonical.plain_float`).

    A float of 32 or 16 bits becomes the shortest decimal that means it, the one that people see:
    0.9 and not 0.8999999761581421. Converted back it is the same float.

    Raises:
        UsageError: It is not a number.
    """
    try:
        kind = bits_of(value)
        if kind:
            value = getattr(value, "detach", lambda: value)().item()
        # `float` itself would take words such as "1.5".
        return plain_float(shortest(float(value) if kind else value.__float__(), kind))
    except OverflowError:
        raise UsageError(
            f"metric {shown(name)} is larger than any float; divide it, or log its logarithm"
        ) from None
    except (TypeError, ValueError, RuntimeError, AttributeError):
        kind = type(value).__name__
        article = "an" if kind[0] in "aeiouAEIOU" else "a"
        raise UsageError(
            f"metric {shown(name)} is {article} {kind}, not a number; "
            "log_params takes words, log_artifact anything"
        ) from None


def numbers_by_name(metrics: object) -> dict[str, float | str]:
    """`metrics` with names and numbers that a record can hold.

    Raises:
        UsageError: It is no mapping, or a name or a value is not usable.
    """
    mapping = named_numbers(metrics)
    return {metric_name(name): number(name, value) for name, value in mapping.items()}


def named_numbers(metrics: object) -> Mapping[Any, Any]:
    """`metrics`, if it is a mapping.

    Raises:
        UsageError: It is none; the message shows the call that was meant.
    """
    if isinstance(metrics, Mapping):
        return metrics
    name = shown(metrics) if isinstance(metrics, str) else "'loss'"
    raise UsageError(
        f"metrics={shown(metrics)} is no dict of numbers by name; "
        f"use log_metrics({{{name}: 0.5}}, step=0)"
    )


def text(what: str, value: Any) -> str:
    """`value`, if it is a text that a record can hold, up to 1000 characters.

    Raises:
        UsageError: It is not.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not _encodes(value):
        raise UsageError(f"{what}={shown(value)} is not usable; use a text that is not empty")
    return str.__str__(value)


def label(what: str, value: Any) -> str:
    """`value`, if it can name a run or a project: a text of 1 to 250 characters.

    Raises:
        UsageError: It cannot.
    """
    plain = text(what, value)
    if len(plain) > MAX_LABEL:
        raise UsageError(
            f"{what}={shown(plain)} has {len(plain)} characters; use {MAX_LABEL} at most"
        )
    return plain


def texts(what: str, value: Any) -> tuple[str, ...]:
    """A list of texts; a single one is a list of one.

    Raises:
        UsageError: It is neither.
    """
    return tuple(text(what, item) for item in items(what, value))


def references(what: str, value: Any) -> tuple[str, ...]:
    """References of artifacts, given as texts, artifacts or versions; a single one is one.

    Raises:
        UsageError: One is something else.
    """
    return tuple(reference(item) for item in items(what, value))


def reference(value: Any) -> str:
    """The reference that `value` is, or that the artifact or version `value` has.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(value, str):
        return value
    ref = getattr(value, "ref", None)
    if not isinstance(ref, str):
        raise UsageError(
            f"{shown(value)} is no artifact; use its name, name:vN, name:alias, or what "
            "log_artifact or use_artifact gave"
        )
    return ref


def items(what: str, value: Any) -> tuple[Any, ...]:
    """The items of a list; a single text, artifact or version is a list of one.

    Raises:
        UsageError: It is no list.
    """
    if isinstance(value, str) or hasattr(value, "ref"):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, (bytes, bytearray, Mapping)):
        raise UsageError(f"{what}={shown(value)} is not a list; write {what}=[…]")
    return tuple(value)


def exit_code(value: Any) -> int | None:
    """`value`, if it can be the exit code of a command.

    Raises:
        UsageError: It is neither an integer of 32 bits nor None.
    """
    if value is None:
        return None
    if type(value) is not int or not -(2**31) <= value < 2**32:
        raise UsageError(f"exit_code={shown(value)} is none; use an integer, or None")
    return value


def capture_level(value: Any) -> int | None:
    """`value`, if it is one of the three levels.

    Raises:
        UsageError: It is neither 1, 2, 3 nor None.
    """
    if value is not None and (isinstance(value, bool) or value not in (1, 2, 3)):
        raise UsageError(f"capture_level={value!r:.80} is unknown; use 1, 2 or 3")
    return int(value) if value is not None else None


def flag(option: str, value: Any) -> bool | None:
    """`value`, if it is True, False or None.

    Raises:
        UsageError: It is not.
    """
    if value is not None and not isinstance(value, bool):
        raise UsageError(f"{option}={value!r:.80} is neither True nor False")
    return value


def mode(offline: Any) -> str | None:
    """The mode that ``offline=`` asks for; what is disabled stays so. Raises as `flag`."""
    if flag("offline", offline) is None or os.environ.get("INSTRUMENT_MODE") == "disabled":
        return None
    return "offline" if offline else "online"


def seed(value: Any) -> int | None:
    """`value`, if it can be set as a seed.

    Raises:
        UsageError: It is neither None nor an integer that all libraries take.
    """
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise UsageError(f"seed={value!r:.80} cannot be set; use an integer from 0 to {MAX_SEED}")
    return value


def directory(store: Any) -> str | None:
    """The path of the store's directory, or None.

    Raises:
        UsageError: It is no path.
    """
    if store is not None and not (isinstance(store, (str, os.PathLike)) and str(store)):
        raise UsageError(
            f"store={store!r:.80} is no directory; use a path, or backend= for a Store"
        )
    return os.fspath(store) if store is not None else None


def storable(value: Any) -> Any:
    """Plain values as a record can hold them: integers of more than 64 bits become texts."""
    if isinstance(value, int):
        bits = value.bit_length()
        if bits < 64:  # noqa: PLR2004 - those of an int64 without its sign
            return value
        return str(value) if bits <= _MAX_BITS_SHOWN else f"an integer of {bits} bits"
    if isinstance(value, dict):
        return {name: storable(part) for name, part in value.items()}
    return [storable(part) for part in value] if isinstance(value, list) else value


def _encodes(value: str) -> bool:
    """Whether it has a UTF-8 form."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """`value` for a message, on one line; its ``repr`` may fail."""
    try:
        return ascii(value)[:80]
    except Exception:
        return f"a {type(value).__name__}"
