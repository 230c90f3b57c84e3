import dataclasses
import enum
import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import PurePosixPath

import numpy as np
import pydantic
import pytest
import torch
from hypothesis import given, strategies as st

from instrument.canonical import canonical_bytes, digest, plain_float, to_plain
from instrument.errors import UsageError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_the_order_of_keys_changes_neither_bytes_nor_digest(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical_bytes(turned) == canonical_bytes(value)
    assert digest(turned) == digest(value)


@given(json_values)
def test_canonical_bytes_are_json_without_nan_and_stable(value: object) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    data = canonical_bytes(value)
    again = json.loads(data, parse_constant=refuse)
    assert canonical_bytes(again) == data


def test_the_digest_is_the_sha256_of_the_bytes() -> None:
    assert digest([1, "é"]) == "sha256:" + hashlib.sha256('[1,"é"]'.encode()).hexdigest()


def test_values_of_common_types_have_a_plain_form() -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    class Model(pydantic.BaseModel):
        rate: float = 0.5

    class Colour(enum.Enum):
        RED = "red"

    value = {
        "dataclass": Point(1),
        "pydantic": Model(),
        "enum": Colour.RED,
        "numpy": np.float32(0.5),
        "array": np.arange(3),
        "torch": torch.tensor([[1, 2]]),
        "path": PurePosixPath("a/b"),
        "date": datetime(2026, 1, 2, tzinfo=UTC),
        "set": {3, 1, 2},
        "nan": math.nan,
        1: "integer key",
    }
    assert to_plain(value) == {
        "dataclass": {"x": 1},
        "pydantic": {"rate": 0.5},
        "enum": "red",
        "numpy": 0.5,
        "array": [0, 1, 2],
        "torch": [[1, 2]],
        "path": "a/b",
        "date": "2026-01-02T00:00:00+00:00",
        "set": [1, 2, 3],
        "nan": "NaN",
        "1": "integer key",
    }


def test_what_has_no_json_form_is_named_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"value\.model\[1\] is a object"):
        canonical_bytes({"model": [1, object()]})


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(UsageError, match="nests deeper"):
        canonical_bytes(loop)


@pytest.mark.parametrize(
    ("value", "plain"),
    [(1.5, 1.5), (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")],
)
def test_numbers_that_json_lacks_are_named(value: float, plain: float | str) -> None:
    assert plain_float(value) == plain


def test_a_lone_surrogate_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="surrogate"):
        canonical_bytes("\ud800")


def test_two_keys_that_json_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(UsageError, match="two keys that JSON writes as '1'"):
        canonical_bytes({1: "a", "1": "b"})
