"""A user's configuration, whatever it is made of, as flat names and plain values."""

import os
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from instrument.canonical import MAX_DEPTH, dataclass_fields, is_dataclass, to_plain
from instrument.errors import MissingDependencyError, NotFoundError, UsageError
from instrument.given import storable
from instrument.redaction import hide, hides, printable, redact_plain

MAX_FILE_BYTES: Final = 16_000_000
MAX_VALUES: Final = 100_000
"""In one mapping."""
_MOST_NAMED: Final = 3
_SAID_BY_STR: Final = frozenset(
    {"torch.device", "torch.dtype", "uuid.UUID", "decimal.Decimal", "datetime.timedelta"}
)
"""Types of settings whose text is the value."""


def given_values(config: object) -> dict[str, Any]:
    """`config_values` of what a user gives: each value of it is kept, or the user hears of it.

    Raises:
        UsageError: As there; or a value has no JSON form.
    """
    lost: dict[str, str] = {}
    values = config_values(config, lost)
    if lost:
        named = [f"{name!r:.80} ({kind:.80})" for name, kind in lost.items()]
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        raise UsageError(
            f"no JSON form for {', '.join(named[:_MOST_NAMED])}{more}, so it is no parameter; "
            "give its name, str() or settings, or leave it out"
        )
    return values


def config_values(config: object, lost: dict[str, str] | None = None) -> dict[str, Any]:
    """The values of `config` by dotted name, secrets removed.

    Args:
        config: A mapping, dataclass, pydantic model, msgspec struct, argparse.Namespace, OmegaConf
            node, anything else with a `to_dict`, or the path of a JSON or YAML file.
        lost: Gets the name and the type of each value that has no plain form.

    Returns:
        Plain values; what has none stands as ``{"unserialisable": "<type>"}``.

    Raises:
        UsageError: `config` is of another kind, does not parse, or spells one name twice.
        NotFoundError: There is no such file.
        MissingDependencyError: It is a YAML file and PyYAML is not installed.
    """
    lost = {} if lost is None else lost
    values: dict[str, Any] = {}
    for name, value in _leaves(_as_mapping(config), "", 0, lost):
        if name in values:
            raise UsageError(f"the configuration spells {name!r:.80} twice; rename one of them")
        values[name] = value
    return values


def _leaves(mapping: Mapping[Any, Any], prefix: str, depth: int, lost: dict[str, str]) -> Any:
    if depth > MAX_DEPTH:
        raise UsageError(f"{prefix[:80]} nests deeper than {MAX_DEPTH} levels; flatten it")
    for key, value in _items(mapping, prefix):
        name = printable(f"{prefix}{key}")
        inner = _parts(value, name)
        if hides(name[len(prefix) :], value):
            yield name, hide(_revealed(value), name[len(prefix) :])
        elif inner:
            yield from _leaves(inner, f"{name}.", depth + 1, lost)
        else:
            yield name, _plain(value, name, lost)


def _parts(value: Any, name: str) -> dict[Any, Any] | None:
    """The parts of a value that is made of named ones; None of any other, and of a hostile one."""
    try:
        inner = _inner_mapping(value)
        return None if inner is None else dict(_items(inner, name))
    except UsageError:
        raise
    except Exception:  # a user's object may fail in any way; the others are still worth keeping
        return None


def _items(mapping: Mapping[Any, Any], name: str) -> list[tuple[Any, Any]]:
    """The items of a mapping, which may be one without an end."""
    items = list(islice(mapping.items(), MAX_VALUES + 1))
    if len(items) > MAX_VALUES:
        where = name[:80] or "the configuration"
        raise UsageError(f"{where} has more than {MAX_VALUES} values; log them as an artifact")
    return items


def _as_mapping(config: Any) -> Mapping[Any, Any]:
    """`config` as one mapping; what is inside may still be anything."""
    if config is None:
        return {}
    if isinstance(config, (str, os.PathLike)):
        return _from_file(Path(config))
    mapping = _inner_mapping(config)
    if mapping is None and hasattr(type(config), "to_dict"):
        mapping = config.to_dict()
    if mapping is None and type(config).__name__ in {"Namespace", "SimpleNamespace"}:
        mapping = vars(config)
    if not isinstance(mapping, Mapping):
        raise UsageError(
            f"a {type(config).__name__} cannot be a configuration; pass a dict, a dataclass, a "
            "pydantic model, a Namespace or the path of a JSON or YAML file"
        )
    return mapping


def _inner_mapping(value: Any) -> Mapping[Any, Any] | None:
    """`value` as a mapping when it is one of named values, else None."""
    kind = type(value)
    if kind.__module__.startswith("omegaconf."):
        return _from_omegaconf(value)
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value):
        return dataclass_fields(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if hasattr(kind, "model_fields") and hasattr(kind, "model_dump"):
        return {name: getattr(value, name, None) for name in kind.model_fields}
    if kind.__module__ == "argparse" and kind.__name__ == "Namespace":
        return dict(vars(value))
    return None


def _from_omegaconf(value: Any) -> Mapping[Any, Any] | None:
    """An OmegaConf node with its interpolations resolved where they can be."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(value, DictConfig):
        return None
    try:
        plain = OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException:
        plain = OmegaConf.to_container(value, resolve=False)
    return plain if isinstance(plain, Mapping) else {}


def _plain(value: Any, name: str, lost: dict[str, str]) -> Any:
    """A leaf as plain values: lists stay lists, their secrets go too."""
    without = partial(_without_form, name, lost)
    try:
        return storable(redact_plain(to_plain(value, fallback=without)))
    except Exception:  # a user's object may fail in any way; the others are still worth keeping
        return without(value)


def _revealed(value: Any) -> Any:
    """The value itself of one that hides it, such as pydantic's `SecretStr`."""
    reveal = getattr(type(value), "get_secret_value", None)
    try:
        return value if reveal is None else reveal(value)
    except Exception:
        return None


def _without_form(name: str, lost: dict[str, str], value: Any) -> Any:
    """What stands for a value that JSON has no form for."""
    kind = type(value)
    if hasattr(kind, "get_secret_value"):
        return hide(_revealed(value))
    full_name = f"{kind.__module__}.{kind.__qualname__}"
    if full_name in _SAID_BY_STR or kind.__module__ == "numpy.dtypes":
        return str(value)
    lost.setdefault(name, full_name.removeprefix("builtins."))
    return {"unserialisable": full_name}


def _from_file(path: Path) -> Mapping[Any, Any]:
    """The mapping that the JSON or YAML file `path` holds."""
    kind = path.suffix.lower()
    if kind not in {".json", ".yaml", ".yml"}:
        raise UsageError(f"{str(path)!r:.120} is no configuration file; use .json, .yaml or .yml")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} is too large for a configuration ({MAX_FILE_BYTES} bytes)")
        text = path.read_text("utf-8")
    except OSError as error:
        raise NotFoundError(f"the configuration file {path} cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error}") from None
    values = _parse_json(path, text) if kind == ".json" else _parse_yaml(path, text)
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} holds a {type(values).__name__}; use one with named values")
    return values


def _parse_json(path: Path, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} does not parse: {error}") from None


def _parse_yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingDependencyError(
            f"{path} needs PyYAML, which is not installed; pip install 'instrument-ml[yaml]'"
        ) from None
    try:
        return yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} does not parse: {' '.join(str(error).split())}") from None
