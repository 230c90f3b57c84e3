"""Torch: modules, tensors, state dicts, checkpoints."""

import functools
import subprocess
from typing import Any

import pytest

from instrument.artifacts import use
from instrument.errors import UsageError
from instrument.protocols import Store

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")


class Tied(torch.nn.Module):  # type: ignore[name-defined,misc]
    """A language model in the small: the head shares the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(7, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.head = torch.nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return list(left) == list(right) and all(
        torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype
        for name in left
    )


def test_a_module_comes_back_as_its_state(round_trip: Any) -> None:
    torch.manual_seed(0)
    model = Tied()
    artifact = round_trip(model, name="model", type="model")
    assert (artifact.version.format, artifact.files[0].path) == ("safetensors", "model.safetensors")
    state = artifact.load()
    assert same(dict(sorted(state.items())), dict(sorted(model.state_dict().items())))
    assert state["head.weight"] is state["embed.weight"]
    fresh = Tied()
    fresh.load_state_dict(state)
    assert torch.equal(fresh.head.weight, model.head.weight)


def test_tied_weights_are_stored_once_and_other_tools_can_load_them(round_trip: Any) -> None:
    model = Tied()
    artifact = round_trip(model)
    assert artifact.version.size_bytes < 2 * 7 * 4 * 4 + 1500
    stored = safetensors_torch.load_file(artifact.path())
    assert "embed.weight" in stored
    assert "head.weight" not in stored
    fresh = Tied()
    safetensors_torch.load_model(fresh, artifact.path())
    assert torch.equal(fresh.embed.weight, model.embed.weight)


def test_the_file_names_the_class(round_trip: Any) -> None:
    artifact = round_trip(torch.nn.Linear(2, 2))
    with safetensors_torch.safe_open(artifact.path(), framework="pt") as file:
        assert "torch.nn.modules.linear.Linear" in file.metadata()["instrument"]


def test_a_compiled_module_is_stored_as_the_one_that_it_wraps(round_trip: Any, log: Any) -> None:
    model = Tied()
    compiled = torch.compile(model, backend="eager")
    artifact = round_trip(compiled)
    assert artifact.digest == log(model, name="plain").digest, "class, names, tied weights"
    assert all(name.startswith("_orig_mod.") for name in compiled.state_dict()), "is untouched"
    Tied().load_state_dict(artifact.load())
    compiled._orig_mod.load_state_dict(artifact.load())
    given = compiled.state_dict()
    assert round_trip(given, name="given").load().keys() == given.keys()


def test_compiled_parts_of_a_module_keep_the_names_of_their_weights(round_trip: Any) -> None:
    def made(wrap: Any) -> Any:
        inner = torch.nn.Sequential(torch.nn.Linear(2, 2), wrap(torch.nn.Linear(2, 2)))
        return torch.nn.ModuleDict({"a": wrap(inner), "_orig_mod": torch.nn.Linear(2, 2)})

    names = made(lambda part: part).state_dict().keys()
    compiled = functools.partial(torch.compile, backend="eager")
    for number, model in enumerate((made(compiled), compiled(made(compiled)))):
        assert round_trip(model, name=f"model{number}").load().keys() == names


def test_a_module_and_its_state_dict_hold_the_same_values(round_trip: Any) -> None:
    model = torch.nn.Linear(3, 2)
    assert same(round_trip(model).load(), round_trip(model.state_dict()).load())


def test_views_of_one_memory_keep_their_values(round_trip: Any) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "base": base,
        "transposed": base.T,
        "row": base[1],
        "column": base[:, 2],
        "overlap": base[1:3],
        "alone": torch.arange(10.0)[::3],
        "conjugate": torch.tensor([1 + 2j, 3 - 1j]).conj(),
        "empty": torch.empty(0, 3),
    }
    loaded = round_trip(state).load()
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor), name
    assert loaded.keys() == state.keys()


@pytest.mark.parametrize(
    "dtype",
    ["float16", "bfloat16", "float64", "int8", "int64", "bool", "complex64", "float8_e4m3fn"],
)
def test_every_dtype(round_trip: Any, dtype: str) -> None:
    tensor = torch.tensor([0, 1, 1, 0]).to(getattr(torch, dtype))
    loaded = round_trip({"x": tensor}).load()["x"]
    assert loaded.dtype == tensor.dtype
    assert torch.equal(loaded.view(torch.uint8), tensor.view(torch.uint8))


def test_a_tensor_alone_keeps_gradient_out(round_trip: Any) -> None:
    tensor = torch.nn.Parameter(torch.ones(2, 3))
    loaded = round_trip(tensor).load()
    assert torch.equal(loaded, tensor)
    assert not loaded.requires_grad


def test_a_checkpoint_with_an_optimizer(round_trip: Any) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": float("-inf"),
        "history": [(0, 0.5), (1, None)],
    }
    artifact = round_trip(checkpoint)
    loaded = artifact.load()
    assert artifact.version.format == "safetensors"
    assert (loaded["epoch"], loaded["best"]) == (3, float("-inf"))
    assert loaded["history"] == [(0, 0.5), (1, None)]
    assert loaded["optimizer"]["param_groups"] == checkpoint["optimizer"]["param_groups"]
    again = torch.optim.AdamW(model.parameters(), lr=0.5)
    again.load_state_dict(loaded["optimizer"])
    assert torch.equal(
        again.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"]
    )


def test_names_that_would_meet_in_a_checkpoint_stay_apart(round_trip: Any) -> None:
    value = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), "n": 1}
    loaded = round_trip(value).load()
    assert torch.equal(loaded["a"]["b"], torch.zeros(1))
    assert torch.equal(loaded["a.b"], torch.ones(1))


def test_numbers_in_tensors_are_json(round_trip: Any) -> None:
    artifact = round_trip({"loss": torch.tensor(0.5), "epoch": 2})
    assert artifact.version.format == "json"
    assert artifact.load() == {"loss": 0.5, "epoch": 2}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"x": torch.eye(2).to_sparse()}, "sparse"),
        ({"x": torch.empty(2, device="meta")}, "meta"),
        ({"x": torch.ones(2), "y": object()}, "y is a object"),
        ({"x": torch.ones(2), (1, 2): 3}, "key of type tuple"),
    ],
)
def test_what_has_no_safetensors_form_is_refused(log: Any, value: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        log(value)


def test_what_has_no_safetensors_form_can_be_pickled(round_trip: Any) -> None:
    artifact = round_trip({"x": torch.ones(2), "y": {1, 2}}, pickle=True)
    assert artifact.load(allow_pickle=True)["y"] == {1, 2}


def test_writing_to_a_loaded_tensor_leaves_the_store_alone(store: Store, log: Any) -> None:
    ref = log({"x": torch.zeros(1000)}).ref
    loaded = use(store, ref).load()
    loaded["x"].fill_(1)
    assert not use(store, ref).load()["x"].any()


def test_the_order_of_names_changes_nothing(log: Any) -> None:
    state = torch.nn.Linear(3, 2).state_dict()
    backwards = dict(reversed(state.items()))
    assert log(backwards).digest == log(dict(state)).digest


PROGRAM = """
import torch
from instrument.artifacts import log_value
from instrument.clock import SystemClock
from instrument.testing.memory import MemoryBackend

torch.manual_seed(0)
layers = torch.nn.ModuleDict({c: torch.nn.Linear(2, 2) for c in "abcdefgh"})
for c in "bcdefgh":
    layers[c].weight = layers["a"].weight
value = {"model": layers.state_dict(), "tags": {"x": 1, "y": 2}}
store = MemoryBackend()
print(log_value(store, name="m", type="model", data=value, clock=SystemClock()).digest)
print(log_value(store, name="m", type="model", data=layers, clock=SystemClock()).digest)
"""


def test_equal_values_give_equal_bytes_in_every_process(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = set()
    for seed in ("1", "2", "3"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        said.add(subprocess.run([python, "-c", PROGRAM], check=True, capture_output=True).stdout)
    assert len(said) == 1
    assert len(said.pop().split()) == 2
