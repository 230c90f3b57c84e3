"""Tables: pandas, pyarrow and polars."""

from typing import Any

import numpy as np
import pytest

from instrument.errors import MissingDependencyError, UsageError

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")


def a_frame() -> Any:
    return pd.DataFrame(
        {
            "text": ["a", "béta", None],
            "score": [0.5, float("nan"), 2.0],
            "count": [1, 2, 3],
            "when": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
            "kind": pd.Categorical(["x", "y", "x"]),
            "tokens": [[1, 2], [], [3]],
        },
        index=pd.Index([10, 20, 30], name="row"),
    )


def test_a_pandas_frame(round_trip: Any) -> None:
    artifact = round_trip(a_frame(), name="rows", type="dataset")
    assert (artifact.version.format, artifact.files[0].path) == ("parquet", "rows.parquet")
    loaded = artifact.load()
    loaded["tokens"] = [list(tokens) for tokens in loaded["tokens"]]
    pd.testing.assert_frame_equal(loaded, a_frame())
    assert list(pd.read_parquet(artifact.path()).columns) == list(a_frame().columns)


@pytest.mark.parametrize("name", ["score", None, 0])
def test_a_pandas_series_keeps_name_and_index(round_trip: Any, name: Any) -> None:
    series = pd.Series([1.5, 2.5], index=["a", "b"], name=name)
    pd.testing.assert_series_equal(round_trip(series).load(), series)


def test_a_pyarrow_table_with_its_metadata(round_trip: Any) -> None:
    table = pa.table({"a": [1, None], "b": ["x", "y"]}).replace_schema_metadata({"k": "v"})
    assert round_trip(table).load().equals(table, check_metadata=True)
    assert round_trip(table.to_batches()[0]).load().equals(table)
    nested = pa.table({"list": [["x"], []], "struct": [{"a": 1}, None]})
    assert round_trip(nested).load().to_pylist() == nested.to_pylist()


def test_a_polars_frame(round_trip: Any) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, 2, None], "b": ["x", "y", "z"], "c": [[1], [], [2, 3]]})
    loaded = round_trip(frame).load()
    assert isinstance(loaded, pl.DataFrame)
    assert loaded.equals(frame)


def test_no_rows_are_a_table_too(round_trip: Any) -> None:
    table = pa.table({"a": pa.array([], pa.int32())})
    assert round_trip(table).load().equals(table)


def test_equal_tables_give_equal_bytes_however_they_were_put_together(log: Any) -> None:
    values = np.arange(3_000_000)
    whole = pa.table({"x": values, "y": values % 7})
    parts = pa.concat_tables(
        [whole.slice(0, 10), whole.slice(10, 1_500_000), whole.slice(1_500_010)]
    )
    assert log(parts).digest == log(whole).digest
    assert log(a_frame()).digest == log(a_frame()).digest


def test_a_column_without_a_type_is_said(log: Any) -> None:
    with pytest.raises(UsageError, match="column mixed"):
        log(pd.DataFrame({"mixed": [1, "x", None]}))


def test_without_pyarrow_the_way_out_is_said(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from instrument.artifacts import frames

    monkeypatch.setattr(frames, "find_spec", lambda library: None)
    with pytest.raises(MissingDependencyError, match="pip install pyarrow"):
        log(pd.DataFrame({"a": [1]}))
