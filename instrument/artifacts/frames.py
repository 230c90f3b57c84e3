"""Tables as parquet: pandas, pyarrow and polars.

The file says which library the table came from, and `read` gives it back as that. Rows are written
in groups of a fixed size, so that neither the memory used nor the bytes depend on how the table was
put together.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from instrument.errors import MissingDependencyError, UsageError

_ROWS: Final = 1 << 20
_SOURCE: Final = b"instrument.source"
_UNNAMED: Final = "pandas.Series without a name"


def write(table: Any, path: Path) -> None:
    """One table, column by column, compressed as pyarrow does by itself.

    Raises:
        UsageError: A column has no type of its own.
        MissingDependencyError: Pyarrow is not installed.
    """
    _require("pyarrow")
    from pyarrow import parquet

    source, arrow = _to_arrow(table)
    schema = arrow.schema.with_metadata({**(arrow.schema.metadata or {}), _SOURCE: source})
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, max(arrow.num_rows, 1), _ROWS):
            rows = arrow.slice(start, _ROWS).combine_chunks()
            writer.write_table(rows.replace_schema_metadata(schema.metadata), row_group_size=_ROWS)


def read(path: Path) -> Any:
    """The table, as the library it came from has it.

    Raises:
        MissingDependencyError: That library is not installed.
    """
    _require("pyarrow")
    from pyarrow import parquet

    table = parquet.read_table(path)
    metadata = dict(table.schema.metadata or {})
    source = metadata.pop(_SOURCE, b"pyarrow.Table").decode()
    table = table.replace_schema_metadata(metadata or None)
    library = source.partition(".")[0]
    _require(library)
    if library == "polars":
        return import_module("polars").from_arrow(table)
    if library != "pandas":
        return table
    frame = table.to_pandas()
    if source == "pandas.DataFrame":
        return frame
    return frame.iloc[:, 0].rename(None) if source == _UNNAMED else frame.iloc[:, 0]


def _to_arrow(table: Any) -> tuple[str, Any]:
    """What kind of table it is, and a pyarrow table with its content."""
    import pyarrow as pa

    try:
        if isinstance(table, pa.Table):
            return "pyarrow.Table", table
        if isinstance(table, pa.RecordBatch):
            return "pyarrow.Table", pa.Table.from_batches([table])
        if hasattr(table, "to_arrow"):
            return "polars.DataFrame", table.to_arrow()
        if not hasattr(table, "to_frame"):
            return "pandas.DataFrame", pa.Table.from_pandas(table)
        if table.name is None:
            return _UNNAMED, pa.Table.from_pandas(table.to_frame("0"))
        return "pandas.Series", pa.Table.from_pandas(table.to_frame())
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"a {type(table).__name__} has no parquet form: {reason}; give each column one type, "
            "save it yourself and pass file_path=, or pass pickle=True"
        ) from None


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise MissingDependencyError(
            f"a table in parquet needs {library}, which is not installed; pip install {library}, "
            "or pass file_path= to log a file of your own"
        )
