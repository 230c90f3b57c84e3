"""Reads by pyarrow: tables, and files and datasets that are opened to be read in parts."""

from typing import Any, Final

from instrument.intercept.constructors import Constructor
from instrument.intercept.loads import Load
from instrument.intercept.reads import columns, read_of
from instrument.intercept.targets import Target


def _read(load: Load, result: Any) -> None:
    """Rows and types of what is read; the rows of what is only opened are told by its footer."""
    metadata = getattr(result, "metadata", None)
    if metadata is None or not hasattr(metadata, "num_rows"):
        metadata = result
    load.rows = getattr(metadata, "num_rows", None)
    if load.rows is None:
        load.rows = getattr(result, "nrows", None)
    schema = getattr(result, "schema_arrow", None) or getattr(result, "schema", None)
    if schema is not None:
        load.schema = columns(zip(schema.names, schema.types, strict=True))
    elif hasattr(result, "dtypes"):
        load.rows = len(result)
        load.schema = columns(result.dtypes.items())
    if not hasattr(result, "num_columns") and not hasattr(result, "dtypes"):
        load.facts["lazy"] = True


def _function(module: str, name: str, argument: str) -> Target:
    reader = f"{module.removesuffix('.core')}.{name}"
    return Target(module, name, read_of(reader, argument, _read))


def _opened(module: str, name: str, argument: str) -> Target:
    reader = f"{module.removesuffix('.core')}.{name}"
    around = Constructor(read_of(reader, argument, _read))
    return Target(module, f"{name}.__init__", around)


TARGETS: Final = (
    _function("pyarrow.csv", "open_csv", "input_file"),
    _function("pyarrow.csv", "read_csv", "input_file"),
    _function("pyarrow.dataset", "dataset", "source"),
    _function("pyarrow.feather", "read_feather", "source"),
    _function("pyarrow.feather", "read_table", "source"),
    _function("pyarrow.json", "read_json", "input_file"),
    _function("pyarrow.orc", "read_table", "source"),
    _function("pyarrow.parquet.core", "read_table", "source"),
    _opened("pyarrow.orc", "ORCFile", "source"),
    _opened("pyarrow.parquet.core", "ParquetDataset", "path_or_paths"),
    _opened("pyarrow.parquet.core", "ParquetFile", "source"),
)
