"""Reads by pandas."""

from typing import Any, Final

from instrument.intercept.loads import Load
from instrument.intercept.reads import columns, readers


def _read(load: Load, result: Any) -> None:
    """Rows and types of a table, or of all sheets; an iterator over chunks knows neither."""
    if isinstance(result, dict):
        load.rows = sum(len(table) for table in result.values())
        load.facts["sheets"] = [str(name) for name in result]
    elif hasattr(result, "dtypes") and hasattr(result, "columns"):
        load.rows = len(result)
        load.schema = columns(result.dtypes.items())
    elif hasattr(result, "dtype"):
        load.rows = len(result)
        load.schema = columns([(result.name, result.dtype)])
    else:
        load.facts["lazy"] = True


TARGETS: Final = readers(
    "pandas",
    _read,
    {
        "read_csv": "filepath_or_buffer",
        "read_excel": "io",
        "read_feather": "path",
        "read_fwf": "filepath_or_buffer",
        "read_json": "path_or_buf",
        "read_orc": "path",
        "read_parquet": "path",
        "read_pickle": "filepath_or_buffer",
        "read_stata": "filepath_or_buffer",
        "read_table": "filepath_or_buffer",
        "read_xml": "path_or_buffer",
    },
)
