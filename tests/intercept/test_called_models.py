"""Which model a call is told of: never another, and never bytes that were not those that ran."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.intercept import generation as machine, weights
from instrument.records import GenerationCalled, GenerationsCounted
from instrument.summary import RunSummary

torch = pytest.importorskip("torch", reason="torch is not installed: nothing generates")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SHORT = {"min_new_tokens": 2, "max_new_tokens": 2}
PROMPTS = torch.full((1, 4), 5)


def gpt2(models: Path) -> Any:
    return transformers.GPT2LMHeadModel.from_pretrained(models / "gpt2")


def summary_of(work: Callable[[ExperimentContext], Any]) -> RunSummary:
    with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
        work(run)
    assert run.store is not None
    return run.store.run(run.id)


def last_model(run: ExperimentContext) -> dict[str, Any]:
    last = run.last_generation
    assert last is not None
    return last.model


def test_two_models_with_equal_settings_are_two(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        loaded = [gpt2(models), transformers.LlamaForCausalLM.from_pretrained(models / "llama")]
        for model in loaded * 2:
            model.generate(PROMPTS, eos_token_id=1, bos_token_id=1, pad_token_id=0, **SHORT)

    ways = summary_of(work).generations
    assert ways is not None
    assert [Path(way["model"]["requested"]).name for way in ways] == ["gpt2", "llama"]
    assert [way["calls"] for way in ways] == [2, 2]


class Model:
    """Can be called, and goes when nobody has it."""


class Recorder:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.ways: list[GenerationCalled] = []
        self.calls: dict[int, int] = {}

    def record(self, record: Any) -> None:
        if isinstance(record, GenerationCalled):
            self.ways.append(record)
        elif isinstance(record, GenerationsCounted):
            self.calls[record.generation_id] = record.calls

    def problem(self, doing: str, error: BaseException) -> None:
        raise AssertionError(doing) from error


def call(tally: machine.Tally, recorder: Recorder, model: Any, **values: Any) -> None:
    act = machine.Act(model, lambda _: "transformers.generate", recorder)
    act.values = values
    tally.begin(act)
    tally.end(act)


def test_a_model_at_the_address_of_another_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "id", lambda _: 1, raising=False)
    tally, recorder = machine.Tally(), Recorder()
    for model in (Model(), type("Another", (Model,), {})()):
        call(tally, recorder, model, top_k=1)
    assert [way.model["class_name"] for way in recorder.ways] == ["Model", "Another"]


def test_what_is_known_of_models_that_are_gone_is_let_go() -> None:
    tally, recorder = machine.Tally(), Recorder()
    for number in range(50):
        model = Model()
        call(tally, recorder, model, top_k=number % 2)
        del model
    gc.collect()
    assert len(recorder.ways) == 50
    assert len(tally._models) == len(tally._patterns) == 0


def test_calls_beyond_the_limit_name_a_model_only_where_all_are_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "MAX_WAYS", 3)
    tally, recorder = machine.Tally(), Recorder()
    first, second, third = (type(name, (), {})() for name in ("First", "Second", "Third"))
    for number in range(6):
        call(tally, recorder, first, top_k=number)
    for model in (second, third, second):
        call(tally, recorder, model, top_k=1)
    call(tally, recorder, first, top_k=0)
    tally.tell(recorder)
    names = [way.model.get("class_name") for way in recorder.ways]
    assert names == ["First"] * 4 + [None]
    assert [way.settings for way in recorder.ways[3:]] == [None, None]
    assert recorder.ways[4].model == {}
    assert recorder.ways[4].call == "transformers.(several models)"
    assert recorder.calls == {1: 2, 2: 1, 3: 1, 4: 3, 5: 3}


def test_the_last_call_is_told_with_its_own_settings_beyond_the_limit(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "MAX_WAYS", 2)

    def work(run: ExperimentContext) -> None:
        loaded = [gpt2(models), transformers.LlamaForCausalLM.from_pretrained(models / "llama")]
        for number in range(4):
            model = loaded[number % 2]
            model.generate(PROMPTS, do_sample=True, temperature=0.1 + number, top_k=9, **SHORT)
            last = run.last_generation
            assert last is not None
            assert last.settings is not None
            seen.append(last.settings["temperature"])
            assert (last.settings["top_k"], last.settings["max_new_tokens"]) == (9, 2)
            assert last.model["class_name"] == type(model).__name__
            assert last.model["digest"].startswith("sha256:")
            assert last.call == f"transformers.{type(model).__name__}.generate"

    seen: list[float] = []
    summary_of(work)
    assert seen == [0.1, 1.1, 2.1, 3.1]


def _trained(model: Any, **options: Any) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, **options)
    model.train()
    model(PROMPTS, labels=PROMPTS).loss.backward()
    optimizer.step()
    model.eval()


def _state(model: Any) -> dict[str, Any]:
    return {name: tensor + 1 for name, tensor in model.state_dict().items()}


def _edited(model: Any) -> None:
    with torch.no_grad():
        model.transformer.wte.weight[0, 0] = 3.0


CHANGES: dict[str, Callable[[Any], Any]] = {
    "trained": _trained,
    "trained, fused": lambda model: _trained(model, fused=True),
    "load_state_dict": lambda model: model.load_state_dict(_state(model)),
    "load_state_dict, assigned": lambda model: model.load_state_dict(_state(model), assign=True),
    "one number": _edited,
    "behind the back of autograd": lambda model: [p.data.zero_() for p in model.parameters()],
    "more tokens": lambda model: model.resize_token_embeddings(200, mean_resizing=False),
}
KEPT: dict[str, Callable[[Any], Any]] = {
    "moved": lambda model: model.to("cpu").float(),
    "half": lambda model: model.bfloat16(),
    "saved": lambda model: model.state_dict(),
    "modes": lambda model: (model.train(), model.eval(), model.requires_grad_(requires_grad=False)),
    "forward": lambda model: model(PROMPTS, labels=PROMPTS).loss.backward(),
}


def test_a_model_that_changed_is_not_told_by_the_digest_of_its_load(models: Path) -> None:
    def work(run: ExperimentContext) -> None:
        for change in CHANGES.values():
            model = gpt2(models)
            model.generate(PROMPTS, **SHORT)
            before.append(last_model(run))
            change(model)
            model.generate(PROMPTS, **SHORT)
            model.generate(PROMPTS, **SHORT)
            after.append(last_model(run))

    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    ways = summary_of(work).generations
    assert [one.get("changed_since_load") for one in before] == [None] * len(CHANGES)
    assert all(one["digest"].startswith("sha256:") for one in before)
    changed = [one.get("changed_since_load", False) for one in after]
    assert dict(zip(CHANGES, changed, strict=True)) == dict.fromkeys(CHANGES, True)
    for one in after:
        assert one["digest"] is None
        assert "since the load" in one["reason"]
        assert one["requested"] == str(models / "gpt2")
    assert ways is not None
    assert [way["model"] for way in ways[1::2]] == after
    assert all(way["model"]["digest"] for way in ways[::2])
    assert [way["calls"] for way in ways] == [1, 2] * len(CHANGES)


def test_a_change_before_the_first_call_is_seen_and_what_is_no_change_is_none(
    models: Path,
) -> None:
    def work(run: ExperimentContext) -> None:
        for change in (CHANGES["load_state_dict"], *KEPT.values()):
            model = gpt2(models)
            change(model)
            model.generate(PROMPTS, **SHORT)
            told.append(last_model(run))

    told: list[dict[str, Any]] = []
    summary_of(work)
    assert told.pop(0)["changed_since_load"] is True
    digests = [one["digest"] for one in told if "changed_since_load" not in one]
    assert len(digests) == len(KEPT)
    assert len({*digests}) == 1


def test_where_weights_cannot_be_looked_at_it_is_not_known_whether_they_changed(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("this kind of tensor has no numbers of its own")

    def work(run: ExperimentContext) -> None:
        model = gpt2(models)
        monkeypatch.setattr(weights, "_sample", refuse)
        model.generate(PROMPTS, **SHORT)
        told.update(last_model(run))

    told: dict[str, Any] = {}
    summary_of(work)
    assert told["changed_since_load"] is None
    assert "not known" in told["reason"]
    assert told["digest"].startswith("sha256:")
