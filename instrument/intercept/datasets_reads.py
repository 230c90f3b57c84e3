"""Reads by Hugging Face datasets: what was asked for, its files, and what came of them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from instrument.intercept.facts import known
from instrument.intercept.loads import Load, current_load, problem
from instrument.intercept.reads import columns, read_all, read_of
from instrument.intercept.targets import Target
from instrument.intercept.wrapper import CallWrapper

_ASKED: Final = ("data_dir", "data_files", "name", "revision", "split", "streaming")
_MAX_SOURCES: Final = 100


def _asked(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    asked = known(**{name: kwargs[name] for name in _ASKED if name in kwargs})
    if len(args) > 1:
        asked["name"] = args[1]
    if asked:
        load.facts["asked"] = asked


def _sees_sources(
    wrapped: Callable[..., Any],
    instance: Any,  # noqa: ARG001 - as every `Around`
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """``load_dataset_builder`` finds the files that a data set is made of."""
    builder = wrapped(*args, **kwargs)
    load = current_load()
    if load is not None and load.loader == "datasets.load_dataset":
        try:
            _sources(load, builder)
        except Exception as error:
            problem("read what a data set is made of", error)
    return builder


def _sources(load: Load, builder: Any) -> None:
    load.facts |= known(builder=builder.name, config=builder.config.name)
    by_split = builder.config.data_files or {}
    sources = [str(file) for files in by_split.values() for file in files]
    remote = [source for source in sources if "://" in source]
    if remote:  # each names the commit it is of
        load.facts["sources"] = remote[:_MAX_SOURCES]
    else:
        read_all(load, sources)


def _hashes_what_it_stands_for(
    wrapped: Callable[..., Any],
    instance: Any,  # noqa: ARG001 - as every `Around`
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """``Pickler.save`` makes fingerprints: a function has its own, whatever stands in its place."""
    if args and type(args[0]) is CallWrapper:
        args = (args[0].__wrapped__, *args[1:])
    return wrapped(*args, **kwargs)


def _read(load: Load, result: Any) -> None:
    """Splits, rows, types and fingerprints; the files of the cache where no others are here."""
    splits = result if isinstance(result, Mapping) else {str(result.split or ""): result}
    rows = {name: getattr(split, "num_rows", None) for name, split in splits.items()}
    counts = [count for count in rows.values() if count is not None]
    load.rows = sum(counts) if counts else None
    load.facts |= known(
        splits={str(name): count for name, count in rows.items() if name} or None,
        fingerprints=_by_split(splits, "_fingerprint"),
        lazy=None if counts else True,
    )
    features = next((split.features for split in splits.values() if split.features), None)
    if features is not None:
        load.schema = columns((name, _type_of(kind)) for name, kind in features.items())
    if load.content.is_empty:
        for split in splits.values():
            read_all(load, [file["filename"] for file in getattr(split, "cache_files", ())])


def _by_split(splits: Mapping[str, Any], attribute: str) -> dict[str, str] | None:
    found = {str(name): getattr(split, attribute, None) for name, split in splits.items()}
    return {name: value for name, value in found.items() if value} or None


def _type_of(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) or feature)


def _from(name: str, argument: str) -> tuple[Target, ...]:
    """The methods of that name, of one split and of several."""
    return (
        Target(
            "datasets.arrow_dataset",
            f"Dataset.{name}",
            read_of(f"datasets.Dataset.{name}", argument, _read),
        ),
        Target(
            "datasets.dataset_dict",
            f"DatasetDict.{name}",
            read_of(f"datasets.DatasetDict.{name}", argument, _read),
        ),
    )


TARGETS: Final = (
    Target(
        "datasets.load",
        "load_dataset",
        read_of("datasets.load_dataset", "path", _read, begin=_asked),
    ),
    Target("datasets.load", "load_dataset_builder", _sees_sources),
    Target(
        "datasets.load",
        "load_from_disk",
        read_of("datasets.load_from_disk", "dataset_path", _read),
    ),
    Target("datasets.utils._dill", "Pickler.save", _hashes_what_it_stands_for),
    *_from("from_csv", "path_or_paths"),
    *_from("from_json", "path_or_paths"),
    *_from("from_parquet", "path_or_paths"),
    *_from("from_text", "path_or_paths"),
    *_from("load_from_disk", "dataset_path"),
)
