"""Reads by polars. A scan is told when it is made: what a query takes of it later is not known."""

from typing import Any, Final

from instrument.intercept.loads import Load
from instrument.intercept.reads import columns, readers


def _read(load: Load, result: Any) -> None:
    if hasattr(result, "collect_schema") and not hasattr(result, "height"):
        load.facts["lazy"] = True  # its schema is not asked for: that may read the file
    elif isinstance(result, dict):
        load.rows = sum(table.height for table in result.values())
        load.facts["sheets"] = [str(name) for name in result]
    elif hasattr(result, "height"):
        load.rows = result.height
        load.schema = columns(result.schema.items())
    else:
        load.facts["lazy"] = True


TARGETS: Final = readers(
    "polars",
    _read,
    dict.fromkeys(
        (
            "read_avro",
            "read_csv",
            "read_excel",
            "read_ipc",
            "read_ipc_stream",
            "read_json",
            "read_ndjson",
            "read_parquet",
            "scan_csv",
            "scan_ipc",
            "scan_ndjson",
            "scan_parquet",
        ),
        "source",
    ),
)
