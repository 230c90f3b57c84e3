"""Configurations of every kind become flat, plain values."""

import argparse
import dataclasses
import enum
import json
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument.canonical import canonical_bytes
from instrument.capture.config import config_values, given_values
from instrument.errors import NotFoundError, UsageError
from instrument.redaction import REDACTED


@dataclasses.dataclass
class Optim:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


@dataclasses.dataclass
class Config:
    optim: Optim = dataclasses.field(default_factory=Optim)
    path: Path = Path("data/x")
    api_key: str = "sesame"


class Struct(msgspec.Struct):
    lr: float
    inner: Optim


class Colour(enum.Enum):
    RED = "red"


def test_nested_names_are_dotted_and_lists_stay() -> None:
    config = {
        "optim": {"lr": 0.1, "betas": [0.9, 0.99]},
        "layers": [{"n": 1}],
        "empty": {},
        3: None,
    }
    assert config_values(config) == {
        "optim.lr": 0.1, "optim.betas": [0.9, 0.99], "layers": [{"n": 1}], "empty": {}, "3": None,
    }  # fmt: skip


def test_dataclass() -> None:
    assert config_values(Config()) == {
        "optim.lr": 0.1, "optim.betas": [0.9, 0.99], "path": "data/x", "api_key": REDACTED,
    }  # fmt: skip


def test_msgspec_namespace_and_simple_namespace() -> None:
    expected = {"lr": 1.0, "inner.lr": 0.1, "inner.betas": [0.9, 0.99]}
    assert config_values(Struct(lr=1.0, inner=Optim())) == expected
    assert config_values(argparse.Namespace(lr=1.0, inner=Optim())) == expected
    assert config_values(types.SimpleNamespace(lr=1.0, inner=Optim())) == expected


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        password: str = "sesame"  # noqa: S105 - made up
        size: int = 3

    class Model(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        inner: Inner = Inner()
        lr: float = 0.1

    assert config_values(Model()) == {"inner.password": REDACTED, "inner.size": 3, "lr": 0.1}


def test_omegaconf() -> None:
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"a": {"b": 1, "c": "${a.b}"}, "xs": [1, 2], "t": "???"})
    assert config_values(config) == {"a.b": 1, "a.c": 1, "xs": [1, 2], "t": "???"}
    broken = omegaconf.OmegaConf.create({"a": "${nowhere}"})
    assert config_values(broken) == {"a": "${nowhere}"}
    assert config_values({"inner": config})["inner.a.c"] == 1


def test_what_has_a_to_dict() -> None:
    transformers = pytest.importorskip("transformers")
    values = config_values(transformers.GPT2Config(n_layer=2))
    assert values["n_layer"] == 2
    assert values["eos_token_id"] == 50256  # a token of text, not a secret


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml"])
def test_files(tmp_path: Path, suffix: str) -> None:
    if suffix != "json":
        pytest.importorskip("yaml")
    path = tmp_path / f"config.{suffix}"
    path.write_text(json.dumps({"optim": {"lr": 0.1}, "hub": {"token": "sesame"}}))
    expected = {"optim.lr": 0.1, "hub.token": REDACTED}
    assert config_values(path) == expected
    assert config_values(str(path)) == expected


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        config_values(tmp_path / "none.json")
    for name, content in {
        "a.json": b"{", "b.yaml": b"a: [", "c.json": b"[1]", "d.json": b"\xff", "e.toml": b"",
        "f.json": b"[" * 100_000,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError) as caught:
            config_values(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [3, [1, 2], object(), {1}, Config])
def test_kinds_that_are_no_configuration(config: Any) -> None:
    with pytest.raises(UsageError, match="cannot be a configuration"):
        config_values(config)


def test_leaves_without_a_plain_form() -> None:
    values = config_values(
        {"model": object(), "fn": len, "n": float("nan"), "c": Colour.RED, "s": {2, 1}}
    )
    assert values["model"] == {"unserialisable": "builtins.object"}
    assert values["fn"] == {"unserialisable": "builtins.builtin_function_or_method"}
    assert (values["n"], values["c"], values["s"]) == ("NaN", "red", [1, 2])


def test_hostile_leaves_cost_only_themselves() -> None:
    class Hostile:
        def tolist(self) -> None:
            raise RuntimeError("no")

        def __repr__(self) -> str:
            raise RuntimeError("no")

    values = config_values({"bad": Hostile(), "lr": 0.1})
    assert values["lr"] == 0.1
    assert "unserialisable" in values["bad"]


def test_what_a_user_gives_is_kept_or_refused() -> None:
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("numpy")
    given = {"device": torch.device("cpu"), "dtype": torch.bfloat16, "of": numpy.dtype("float32")}
    assert given_values(given) == {"device": "cpu", "dtype": "torch.bfloat16", "of": "float32"}
    odd = {"lr": 1, "model": {"net": object()}, "fns": [len], "b": b"", "c": 1j, "d": len}
    with pytest.raises(UsageError) as caught:
        given_values(odd)
    assert str(caught.value) == (
        "no JSON form for 'model.net' (object), 'fns' (builtin_function_or_method), 'b' (bytes) "
        "and 2 more, so it is no parameter; give its name, str() or settings, or leave it out"
    )


def test_arrays_and_odd_text() -> None:
    numpy = pytest.importorskip("numpy")
    odd = b"\xff".decode("utf-8", "surrogateescape")
    values = config_values({"x": numpy.float32(0.5), "xs": numpy.arange(3), odd: odd})
    assert (values["x"], values["xs"]) == (0.5, [0, 1, 2])
    assert canonical_bytes(values)


def test_t35_secrets_anywhere() -> None:
    config = {
        "db": {"url": "postgres://me:sesame@h/x"},
        "services": [{"name": "a", "api_key": "sesame"}, Config()],
        "headers": {"Authorization": "Bearer sesame-abcdefgh"},
        "hf": "hf_abcdefghijklmnopqrstuvwx",
        "secrets": {"a": "sesame"},
    }
    values = config_values(config)
    assert b"sesame" not in canonical_bytes(values)
    assert b"hf_abc" not in canonical_bytes(values)
    assert values["services"][0]["name"] == "a"


def test_one_name_spelled_twice() -> None:
    with pytest.raises(UsageError, match="twice"):
        config_values({"a.b": 1, "a": {"b": 2}})


def test_a_configuration_that_contains_itself() -> None:
    config: dict[str, Any] = {"lr": 1}
    config["self"] = config
    with pytest.raises(UsageError, match="nests deeper"):
        config_values(config)


def test_none_is_an_empty_configuration() -> None:
    assert config_values(None) == {}


def test_secrets_behind_flags_in_lists_and_texts() -> None:
    values = config_values(
        {"argv": ["--password", "sesame", "--lr", "0.1", 3], "line": "x --api-key sesame --lr 1"}
    )
    assert values["argv"] == ["--password", "[redacted]", "--lr", "0.1", 3]
    assert values["line"] == "x --api-key [redacted] --lr 1"
