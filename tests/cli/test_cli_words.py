from datetime import UTC, datetime, timedelta

import pytest

from instrument.cli.recorded import name_of
from instrument.cli.words import ago, count, duration, listed, short_ids, size, value_text

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (0.0, "0.00 s"), (9.994, "9.99 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"),
        (61, "1 min 1 s"), (3599.6, "1 h 0 min"), (7384, "2 h 3 min"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(seconds=-90), "just now"), (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=59), "59 min ago"), (timedelta(hours=23), "23 h ago"),
        (timedelta(days=364), "364 d ago"), (timedelta(days=800), "2 y ago"),
    ],
)  # fmt: skip
def test_relative_times(before: timedelta, words: str) -> None:
    assert ago(NOW - before, NOW) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1010 * 1024, "1010 KiB"),
        (5 << 30, "5 GiB"),
        (1 << 50, "1024 TiB"),
    ],
)
def test_sizes(amount: int | None, words: str) -> None:
    assert size(amount) == words


def test_short_ids_stay_unique() -> None:
    ids = ["20261121-041845-3f9c00000000", "20261121-041845-3f9c11111111", "other"]
    shown = short_ids(ids)
    assert len(set(shown.values())) == 3
    assert all(run_id.startswith(prefix) for run_id, prefix in shown.items())
    assert short_ids(ids[1:])[ids[1]] == "20261121-041845-3f9c"


def test_values_and_lists() -> None:
    assert value_text(0.1 + 0.2) == "0.3"
    assert value_text({"a": [1, None]}) == '{"a":[1,null]}'
    assert count(1, "run") == "1 run"
    assert listed("abc", most=2) == "a, b, and 1 more"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "train.py", "--lr", "1"], "train"),
        (["/usr/bin/python3.11", "-u", "-W", "error", "src/train.py"], "train"),
        (["python", "-m", "lm_eval", "--tasks", "x"], "lm_eval"),
        (["python", "-c", "pass"], "python"),
        (["./run.sh", "train.py"], "run"),
        (["torchrun", "train.py"], "torchrun"),
    ],
)
def test_a_run_is_named_after_its_script(command: list[str], name: str) -> None:
    assert name_of(command) == name
