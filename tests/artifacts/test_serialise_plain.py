"""JSON-like values, text, bytes, and pickle for those who ask."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from instrument.artifacts import log_value, use
from instrument.canonical import digest
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.protocols import Store
from instrument.testing.memory import MemoryBackend

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON_LIKE = st.dictionaries(
    st.text(),
    st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)
CLOCK = SystemClock()


@settings(max_examples=50)
@given(JSON_LIKE)
def test_json_like_values_come_back_as_they_were(value: dict[str, Any]) -> None:
    store = MemoryBackend()
    version = log_value(store, name="report", type="metrics", data=value, clock=CLOCK)
    assert version.format == "json"
    assert version.digest == digest(value)
    assert use(store, version.ref).load() == value
    assert json.loads(store.get_bytes(version.digest)) == value


@settings(max_examples=50)
@given(JSON_LIKE, st.randoms())
def test_key_order_makes_no_new_version(value: dict[str, Any], random: Any) -> None:
    store = MemoryBackend()
    items = list(value.items())
    random.shuffle(items)
    first = log_value(store, name="report", type="metrics", data=value, clock=CLOCK)
    again = log_value(store, name="report", type="metrics", data=dict(items), clock=CLOCK)
    assert (again.version, again.digest) == (1, first.digest)


@given(st.text())
def test_text_keeps_every_character(text: str) -> None:
    store = MemoryBackend()
    version = log_value(store, name="notes", type="log", data=text, clock=CLOCK)
    assert (version.format, version.files[0].path) == ("text", "notes.txt")
    assert use(store, version.ref).load() == text


@given(st.binary())
def test_bytes_of_every_kind(data: bytes) -> None:
    store = MemoryBackend()
    for value in (data, bytearray(data), memoryview(data)):
        version = log_value(store, name="raw", type="other", data=value, clock=CLOCK)
        assert (version.version, version.format) == (1, "bytes")
    assert use(store, version.ref).load() == data


@dataclasses.dataclass
class Config:
    lr: float
    layers: tuple[int, ...]


def test_what_is_json_like_comes_back_plain(round_trip: Any) -> None:
    value = {"config": Config(0.1, (2, 3)), "seen": {"b", "a"}, 1: True}
    expected = {"config": {"lr": 0.1, "layers": [2, 3]}, "seen": ["a", "b"], "1": True}
    assert round_trip(value).load() == expected


def test_what_is_no_finite_number_is_one_when_it_comes_back(log: Any, store: Store) -> None:
    value = {"z": [math.inf, -math.inf, 0.1], "é": "NaN", "loss": math.nan, "n": 2**80}
    version = log(value)
    again = use(store, version.ref).load()
    assert math.isnan(again.pop("loss"))
    assert again == {"z": [math.inf, -math.inf, 0.1], "é": "NaN", "n": 2**80}
    assert log(dict(reversed(value.items()))) == version  # the order of keys makes no new version
    assert log({**value, "loss": "NaN"}).digest != version.digest
    numpy = pytest.importorskip("numpy")
    assert math.isnan(use(store, log({"a": numpy.array([math.nan]), "b": 1}).ref).load()["a"][0])


class Opaque:
    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("value", [Opaque(1), {"part": [Opaque(1)]}])
def test_a_type_without_a_form_is_named_with_the_ways_out(log: Any, value: Any) -> None:
    with pytest.raises(UsageError) as raised:
        log(value)
    message = str(raised.value)
    assert "Opaque" in message
    for way_out in ("file_path=", "register_serialiser", "pickle=True"):
        assert way_out in message
    assert "\n" not in message


def test_an_estimator_is_named_and_can_be_pickled(log: Any, store: Store) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(UsageError, match=r"sklearn\.linear_model.*LogisticRegression.*file_path="):
        log(model)
    artifact = use(store, log(model, pickle=True).ref)
    assert artifact.load(allow_pickle=True).predict([[5.0]]) == [1]


def test_text_that_is_no_utf8_is_refused(log: Any) -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        log("\ud800")


def test_a_pickle_is_made_and_loaded_only_on_request(round_trip: Any) -> None:
    artifact = round_trip(Opaque(5), pickle=True)
    assert artifact.version.format == "pickle"
    assert artifact.files[0].path == "thing.pkl"
    with pytest.raises(UsageError, match="allow_pickle=True"):
        artifact.load()
    assert artifact.load(allow_pickle=True) == Opaque(5)


def test_pickle_is_the_last_resort(round_trip: Any) -> None:
    assert round_trip({"a": 1}, pickle=True).version.format == "json"


def test_what_cannot_even_be_pickled_is_said(log: Any) -> None:
    with pytest.raises(UsageError, match="cannot be pickled"):
        log(lambda: 1, pickle=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(SCALARS.filter(lambda value: value is not None))
def test_scalars_are_values_too(round_trip: Any, value: Any) -> None:
    assert round_trip(value).load() == value
