"""Summaries of arguments: true, bounded, and deaf to hostile objects."""

import argparse
import dataclasses
import enum
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pydantic
import pytest
import torch
from hypothesis import given, strategies as st
from omegaconf import OmegaConf

from instrument.decorators.arguments import Parameters, dotted, summarise
from instrument.redaction import REDACTED


def _summary(value: Any) -> Any:
    return summarise(value)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    layers: tuple[int, ...] = (1, 2)
    api_key: str = "k-123"


@dataclasses.dataclass(slots=True)
class Slotted:
    lr: float = 0.1


class Model(pydantic.BaseModel):
    lr: float = 0.1


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**70, str(2**70)),
        (0.5, 0.5),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ("word", "word"),
        ("ü", "ü"),
        ("\udc80", "\\udc80"),
        ("x" * 2000, {"type": "str", "len": 2000, "start": "x" * 100}),
        (b"abc", {"type": "bytes", "len": 3}),
        ([1, "a", None], [1, "a", None]),
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1, "a"}, {"type": "set"}),
        (list(range(100)), {"type": "list", "len": 100}),
        ({"a": {"b": [1]}}, {"a": {"b": [1]}}),
        ({1: "one", None: 0}, {"1": "one", "None": 0}),
        ({str(n): n for n in range(500)}, {"type": "dict", "len": 500}),
        (range(9), {"type": "range", "len": 9}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Config(), {"lr": 0.1, "layers": [1, 2], "api_key": REDACTED}),
        (Slotted(), {"lr": 0.1}),
        (Model(), {"lr": 0.1}),
        (argparse.Namespace(lr=0.1), {"lr": 0.1}),
        (SimpleNamespace(lr=0.1), {"lr": 0.1}),
        (OmegaConf.create({"optim": {"lr": 0.1}}), {"optim": {"lr": 0.1}}),
        (Path("a/b"), "a/b"),
        (np.float64(0.5), 0.5),
        (np.zeros((3, 4), "f4"), {"type": "numpy.ndarray", "shape": [3, 4], "dtype": "float32"}),
        (torch.zeros(2), {"type": "torch.Tensor", "shape": [2], "dtype": "torch.float32"}),
        (torch.nn.Linear(2, 2), {"type": "torch.nn.modules.linear.Linear"}),
        (len, {"type": "builtin_function_or_method", "name": "builtins:len"}),
        (Config, {"type": "type", "name": f"{__name__}:Config"}),
    ],
)
def test_values(value: Any, summary: Any) -> None:
    assert _summary(value) == summary


class Hostile:
    """Whatever is asked of it goes wrong."""

    def _refuse(self, *arguments: object) -> Any:
        raise RuntimeError("do not touch")

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __float__ = _refuse
    __getattr__ = __hash__ = __call__ = _refuse
    shape = property(_refuse)


class HostileDict(dict[str, int]):
    __len__ = items = keys = __iter__ = __getitem__ = Hostile._refuse


class HostileList(list[int]):
    __len__ = __iter__ = __getitem__ = Hostile._refuse


class HostileStr(str):
    __slots__ = ()
    __len__ = __str__ = __getitem__ = __repr__ = Hostile._refuse


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError("do not touch")


def test_hostile_objects() -> None:
    assert _summary(Hostile()) == {"type": f"{__name__}.Hostile"}
    assert _summary(HostileDict(a=1)) == {"a": 1}
    assert _summary(HostileList([1])) == [1]
    assert _summary(HostileStr("word")) == "word"
    assert _summary([Hostile(), 1]) == [{"type": f"{__name__}.Hostile"}, 1]
    assert _summary(Meta("Nameless", (), {})()) == {"type": "unknown"}


def test_an_integer_with_more_digits_than_python_prints() -> None:
    assert _summary(10**5000) == {"type": "int", "bits": 16610}


def test_deep_wide_and_circular_values_stay_bounded() -> None:
    circle: list[Any] = []
    circle.append(circle)
    wide = [[[[[0] * 30] * 30] * 30] * 30] * 30
    for value in (circle, wide):
        assert len(msgspec.json.encode(_summary(value))) < 100_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_every_summary_has_a_json_form(value: Any) -> None:
    msgspec.json.decode(msgspec.json.encode(_summary(value)))


def test_secrets_are_hidden_by_name() -> None:
    def log_in(user: str, password: str, *secrets: str, api_key: str = "k", **more: str) -> None:
        """Has secrets of every kind of parameter."""

    assert Parameters(log_in).summaries(("me", "p", "s"), {"auth_token": "t"}) == {
        "user": "me",
        "password": REDACTED,
        "secrets": REDACTED,
        "api_key": REDACTED,
        "auth_token": REDACTED,
    }
    assert _summary({"auth_token": "t", "lr": 1}) == {"auth_token": REDACTED, "lr": 1}


def _f(a: int, /, b: int, *rest: int, c: int = 3, **more: int) -> None:
    """Every kind of parameter."""


@pytest.mark.parametrize(
    ("args", "kwargs", "bound"),
    [
        ((1, 2), {}, {"a": 1, "b": 2, "c": 3}),
        ((1,), {"b": 2, "c": 4, "d": 5}, {"a": 1, "b": 2, "c": 4, "d": 5}),
        ((1, 2, 7, 8), {}, {"a": 1, "b": 2, "rest": [7, 8], "c": 3}),
        ((), {}, {"c": 3}),
    ],
)
def test_binding(args: tuple[int, ...], kwargs: dict[str, int], bound: dict[str, Any]) -> None:
    assert Parameters(_f).summaries(args, kwargs) == bound


@pytest.mark.parametrize("function", [getattr, Hostile()], ids=["builtin", "hostile"])
def test_a_function_without_signature_binds_by_position(function: Any) -> None:
    assert Parameters(function).summaries((1,), {"x": 2}) == {"args": [1], "x": 2}


def test_defaults_are_read_at_the_call() -> None:
    def remembers(seen: list[int] = [], epochs: int = 3) -> None:  # noqa: B006 - just that
        seen.append(1)

    parameters = Parameters(remembers)
    remembers()
    assert parameters.summaries((), {}) == {"seen": [1], "epochs": 3}


def test_dotted() -> None:
    assert dotted({"a": {"b": {"c": 1}}, "d": [1], "e": {}}) == {"a.b.c": 1, "d": [1], "e": {}}


@pytest.mark.parametrize(
    "value",
    [
        "https://u:sesame1@h.com/p?token=sesame2",
        Path("/data/api_key=sesame"),
        ["--password", "sesame"],
        {"deep": [("x --api-key sesame",)]},
        "x" * 76 + " postgres://me:sesame-sesame-sesame@h.com/" + "x" * 1000,
        "hf_" + "sesame" * 5,
    ],
)
def test_secrets_are_hidden_in_texts(value: Any) -> None:
    assert "sesame" not in str(summarise(value))
    assert "[redacted" in str(summarise(value))


@pytest.mark.parametrize("text", ["adamw", "basic training", "https://h.com/p?x=1", "a - b --c d"])
def test_texts_without_secrets_stay(text: str) -> None:
    assert summarise(text) == text
