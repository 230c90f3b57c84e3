"""Settings: an argument beats the environment beats ``[tool.instrument]`` in pyproject.toml.

| setting         | environment                  | meaning                                         |
|-----------------|------------------------------|-------------------------------------------------|
| store           | INSTRUMENT_STORE             | the store's directory                           |
| mode            | INSTRUMENT_MODE              | online, offline or disabled                     |
| backends        | INSTRUMENT_BACKENDS          | names, separated by commas                      |
| project         | INSTRUMENT_PROJECT           | the group a run belongs to                      |
| run_id          | INSTRUMENT_RUN_ID            | continue this run                               |
| capture_level   | INSTRUMENT_CAPTURE_LEVEL     | 1, 2 or 3                                       |
| strict          | INSTRUMENT_STRICT            | raise the recorder's own failures               |
| session         | INSTRUMENT_SESSION           | the session a run belongs to                    |
| git_commit      | INSTRUMENT_GIT_COMMIT        | the commit, where there is no ``.git``          |
| overhead_budget | INSTRUMENT_OVERHEAD_BUDGET   | what recording may take, % of the time          |
| grid_gco2e_per_kwh | INSTRUMENT_GRID_GCO2E_PER_KWH | grams of CO2e that a kWh stands for        |
| console         | INSTRUMENT_CONSOLE           | keep what is printed: on or off                 |
| intercept       | INSTRUMENT_INTERCEPT         | models, data, numpy, pickle, or none            |
| trace           | INSTRUMENT_TRACE             | functions whose calls are recorded: pkg.train   |
| hash_limit_gib  | INSTRUMENT_HASH_LIMIT_GIB    | one read of more data than that is not hashed   |
| audit           | INSTRUMENT_AUDIT             | best-effort, or required: no run without ledger |
"""

import math
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec

from instrument.errors import UsageError
from instrument.given import label

Mode: TypeAlias = Literal["online", "offline", "disabled"]
Audit: TypeAlias = Literal["best-effort", "required"]
MODES: Final = ("online", "offline", "disabled")
AUDITS: Final = ("best-effort", "required")
STORE_NAME: Final = ".instrument"
INTERCEPTED: Final = ("models", "data", "numpy", "pickle")
_NUMBERS: Final = ("overhead_budget", "grid_gco2e_per_kwh", "hash_limit_gib")
_SWITCHES: Final = ("strict", "console")
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_FALSE: Final = frozenset({"0", "OFF", "NO", "FALSE", ""})
_PREFIX: Final = "INSTRUMENT_"
_MOST_UNREAD: Final = 5
_MOST_OF_NAME: Final = 80
_OTHERS: Final = ("HANDOVER", "STARTUP", "LEDGER_PASSPHRASE")
"""Variables of ours that other rooms read."""
_OTHERS_IN_FILE: Final = ("retention",)
"""Names in the file that are no settings; see `retention`."""


class _File(NamedTuple):
    """What ``[tool.instrument]`` says, and all names that stand in it."""

    settings: dict[str, Any]
    names: tuple[str, ...]


_NO_FILE: Final = _File({}, ())


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, resolved. Attributes as in the module's table."""

    store: Path
    mode: Mode = "online"
    backends: tuple[str, ...] = ("local",)
    project: str | None = None
    run_id: str | None = None
    capture_level: int = 2
    strict: bool = False
    session: str | None = None
    git_commit: str | None = None
    overhead_budget: float = 1.0
    grid_gco2e_per_kwh: float | None = None
    console: bool = True
    intercept: tuple[str, ...] = ("models", "data")
    trace: tuple[str, ...] = ()
    hash_limit_gib: float = 64.0
    audit: Audit = "best-effort"


def resolve(**arguments: Any) -> Settings:
    """The settings in force here and now.

    Args:
        **arguments: Settings given by the caller; None means not given.

    Raises:
        UsageError: A value is not usable; the message says where it came from.
    """
    here = _working_directory()
    values = dict(_read_file(_project_file(here)).settings) if here is not None else {}
    values.update(_from_environment())
    values.update({name: value for name, value in arguments.items() if value is not None})
    if "store" not in values:
        if here is None:
            raise UsageError("the working directory is gone; set INSTRUMENT_STORE to a directory")
        values["store"] = _default_store(here)
    values["store"] = Path(values["store"]).expanduser().absolute()
    if values.get("mode", "online") not in MODES:
        raise UsageError(f"mode {values['mode']!r} is unknown; use one of {', '.join(MODES)}")
    if values.get("capture_level", 2) not in (1, 2, 3):
        raise UsageError(f"capture level {values['capture_level']!r} is unknown; use 1, 2 or 3")
    if values.get("project") is not None:
        values["project"] = label("project", values["project"])
    return Settings(**values)


@cache
def is_disabled() -> bool:
    """Whether INSTRUMENT_MODE=disabled, read once: the hot path of an inactive decorator."""
    return os.environ.get("INSTRUMENT_MODE", "") == "disabled"


def unread() -> list[str]:
    """What to say of variables and of names in the file that nothing reads; empty: there are none.

    Raises:
        UsageError: The file does not parse.
    """
    return [told for told in (unread_variables(), _unread_in_file()) if told is not None]


def unread_variables() -> str | None:
    """What to say of variables that look like ours and that nothing reads; None: there are none."""
    known = (*map(str.upper, Settings.__struct_fields__), *_OTHERS)
    names = (name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX))
    return _told_unread(names, known, _PREFIX)


def _unread_in_file() -> str | None:
    """The same of the names in ``[tool.instrument]``."""
    here = _working_directory()
    path = _project_file(here) if here is not None else None
    known = (*Settings.__struct_fields__, *_OTHERS_IN_FILE)
    return _told_unread(_read_file(path).names, known, "", f" in [tool.instrument] of {path}")


def _told_unread(
    names: Iterable[str], known: tuple[str, ...], prefix: str, where: str = ""
) -> str | None:
    unread = sorted(set(names).difference(known))
    if not unread:
        return None
    from difflib import get_close_matches

    told = []
    by_lower = {name.lower(): prefix + name for name in known}
    for name in unread[:_MOST_UNREAD]:
        near = get_close_matches(name.lower(), by_lower, n=1)
        meant = f" (did you mean {by_lower[near[0]]}?)" if near else ""
        told.append(f"{prefix}{name[:_MOST_OF_NAME]}{meant}")
    more = f" and {len(unread) - len(told)} more" if len(unread) > len(told) else ""
    return f"nothing reads {', '.join(told)}{more}{where}: there is no such setting"


def _from_environment() -> dict[str, Any]:
    """What the environment says, each value parsed."""
    values: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        variable = _PREFIX + name.upper()
        text = os.environ.get(variable)
        if text:
            values[name] = _parse(name, text, variable)
    return values


def _parse(name: str, value: Any, source: str) -> Any:
    """`value` of the setting `name`, in its own type."""
    if name == "capture_level":
        try:
            return int(value)
        except ValueError:
            raise UsageError(f"{source}={value!r} is not a capture level; use 1, 2 or 3") from None
    if name == "audit" and value not in AUDITS:
        raise UsageError(f"{source}={value!r} is unknown; use one of {', '.join(AUDITS)}")
    if name in _NUMBERS:
        return _positive(value, source)
    if name in _SWITCHES and isinstance(value, str):
        if value.upper() not in _TRUE | _FALSE:
            words = "on or off" if name == "console" else "1 or 0"
            raise UsageError(f"{source}={value!r} is neither true nor false; use {words}")
        return value.upper() in _TRUE
    if name in {"backends", "intercept", "trace"}:
        parts = value.split(",") if isinstance(value, str) else value
        names = tuple(part.strip() for part in parts if part.strip())
        return _intercepted(names, source) if name == "intercept" else names
    return value


def _intercepted(words: tuple[str, ...], source: str) -> tuple[str, ...]:
    """What is intercepted; the word none stands alone."""
    if words == ("none",):
        return ()
    for word in words:
        if word not in INTERCEPTED:
            known = ", ".join(INTERCEPTED)
            raise UsageError(f"{source}: {word!r} is not intercepted; use some of {known}, or none")
    return words


def _positive(value: Any, source: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{source}={value!r} is not a positive number; use one such as 1.5")
    return number


@cache
def _read_file_cached(path: Path, modified_ns: int) -> _File:  # noqa: ARG001 - cache key
    data = path.read_bytes()
    if b"tool.instrument" not in data:
        return _NO_FILE
    import tomllib

    try:
        table = dict(tomllib.loads(data.decode()).get("tool", {}).get("instrument", {}))
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"{path} does not parse: {error}") from None
    known = {
        name: _parse(name, value, f"{path.name}: {name}")
        for name, value in cast("dict[str, Any]", table).items()
        if name in Settings.__struct_fields__
    }
    if "store" in known:
        known["store"] = path.parent / known["store"]
    return _File(known, tuple(table))


def _read_file(path: Path | None) -> _File:
    """``[tool.instrument]`` in `path`; unknown names stop nothing, see `unread`."""
    if path is None:
        return _NO_FILE
    try:
        return _read_file_cached(path, path.stat().st_mtime_ns)
    except OSError:
        return _NO_FILE


def retention() -> list[Any]:
    """The tables of ``[[tool.instrument.retention]]`` in pyproject.toml, as they are.

    Raises:
        UsageError: It does not parse.
    """
    import tomllib

    path = _project_file(Path.cwd())
    if path is None:
        return []
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} does not parse: {error}") from None
    found = tables.get("tool", {}).get("instrument", {}).get("retention", [])
    return found if isinstance(found, list) else [found]


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return None


def _project_file(start: Path) -> Path | None:
    return _nearest(start, "pyproject.toml")


def _default_store(start: Path) -> Path:
    """``.instrument`` at the root of the repository around `start`, else in `start`."""
    marker = _nearest(start, ".git")
    return (marker.parent if marker else start) / STORE_NAME


def _nearest(start: Path, name: str) -> Path | None:
    """The nearest `name` in `start` or a directory above it."""
    for directory in (start, *start.parents):
        candidate = directory / name
        if os.path.exists(candidate):  # noqa: PTH110 - that of pathlib raises where it may not look
            return candidate
    return None
