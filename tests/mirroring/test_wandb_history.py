"""No value is lost and no step is changed, whatever the order in which metrics were recorded."""

from typing import Any

from hypothesis import given, strategies as st

from instrument_wandb.history import STEP_FIELD, Rows, row_values

NAMES = st.frozensets(st.sampled_from(["loss", "accuracy", "lr"]), min_size=1)
STEPS = st.none() | st.integers(min_value=0, max_value=6)


def history(records: list[tuple[frozenset[str], int | None]]) -> list[dict[str, Any]]:
    """What W&B keeps: steps that go back are dropped, a second value replaces the first."""
    rows = Rows()
    kept: list[dict[str, Any]] = []
    for number, (names, step) in enumerate(records):
        place = rows.place(names, step)
        values: dict[str, Any] = dict.fromkeys(names, number)
        if step is not None and step != place:
            values[STEP_FIELD] = step
        if not kept or place > kept[-1]["_step"]:
            kept.append({"_step": place})
        if place == kept[-1]["_step"]:
            kept[-1].update(values)
    return kept


@given(st.lists(st.tuples(NAMES, STEPS), max_size=30))
def test_every_value_is_kept_at_its_step(records: list[tuple[frozenset[str], int | None]]) -> None:
    found = {}
    for row in history(records):
        step = row.pop(STEP_FIELD, row["_step"])
        for name in row.keys() - {"_step"}:
            found[row[name], name] = step
    assert found.keys() == {
        (number, name) for number, (names, _) in enumerate(records) for name in names
    }
    for (number, _), step in found.items():
        assert records[number][1] in {None, step}


def place(*records: tuple[str, int | None]) -> list[int]:
    rows = Rows()
    return [rows.place({name}, step) for name, step in records]


def test_steps_that_go_forward_stay_as_they_are() -> None:
    assert place(("loss", 0), ("loss", 1), ("loss", 10), ("loss", 100)) == [0, 1, 10, 100]


def test_metrics_of_one_step_share_a_row() -> None:
    assert place(("loss", 3), ("accuracy", 3), ("loss", 4)) == [3, 3, 4]


def test_without_steps_each_record_has_a_row() -> None:
    assert place(("loss", None), ("accuracy", None), ("loss", None)) == [0, 1, 2]


def test_a_record_without_step_joins_the_step_before_it() -> None:
    assert place(("loss", 5), ("lr", None), ("loss", 6), ("lr", None)) == [5, 5, 6, 6]


def test_a_baseline_without_step_does_not_displace_the_steps_after_it() -> None:
    assert place(("accuracy", None), ("loss", 0), ("loss", 1)) == [0, 0, 1]


def test_a_step_that_goes_back_takes_the_next_free_row() -> None:
    assert place(("loss", 5), ("loss", 2), ("loss", 10)) == [5, 6, 10]


def test_the_same_metric_twice_at_one_step_takes_two_rows() -> None:
    assert place(("loss", 5), ("loss", 5)) == [5, 6]


def test_names_that_wandb_fills_in_are_renamed() -> None:
    assert row_values({"_step": 1.0, "_timestamp": 2.0, "loss": "-Infinity"}) == {
        "metrics/_step": 1.0,
        "metrics/_timestamp": 2.0,
        "loss": float("-inf"),
    }
