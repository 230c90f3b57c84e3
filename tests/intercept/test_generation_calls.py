"""``generate`` and pipelines: what they really used, counted, and bound to the last call."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.capture.random_states import random_states
from instrument.intercept import calls, generation as machine
from instrument.records import GenerationCalled, GenerationsCounted, ModelLoaded, Problem

torch = pytest.importorskip("torch", reason="torch is not installed: nothing generates")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@dataclass
class Told:
    """What a run recorded of its calls of models."""

    ways: list[GenerationCalled] = field(default_factory=list)
    counts: dict[int, GenerationsCounted] = field(default_factory=dict)
    loads: list[ModelLoaded] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def recorded(work: Callable[[ExperimentContext], Any]) -> Told:
    with ExperimentContext(name="calls", monitor_hardware=False, capture_level=1) as run:
        work(run)
    return told_of(run)


def told_of(run: ExperimentContext) -> Told:
    told = Told()
    assert run.store is not None
    for entry in run.store.entries(run.id):
        record = entry.record
        if isinstance(record, GenerationCalled):
            told.ways.append(record)
        elif isinstance(record, GenerationsCounted):
            told.counts[record.generation_id] = record
        elif isinstance(record, ModelLoaded):
            told.loads.append(record)
        elif isinstance(record, Problem):
            told.problems.append(record)
    return told


def llama(models: Path) -> Any:
    return transformers.LlamaForCausalLM.from_pretrained(models / "llama")


def prompts(rows: int = 2, length: int = 5) -> Any:
    return torch.full((rows, length), 5)


QUIET = {"min_new_tokens": 4, "max_new_tokens": 4}


def test_the_settings_are_those_that_the_library_resolved(models: Path) -> None:
    model = llama(models)
    model.generation_config.repetition_penalty = 1.3  # the model's own
    config = transformers.GenerationConfig(do_sample=True, temperature=0.4, **QUIET)
    resolved, _ = model._prepare_generation_config(config)  # it depends on the version
    told = recorded(lambda _: model.generate(prompts(), generation_config=config))
    settings = told.ways[0].settings
    assert settings is not None
    assert settings["temperature"] == 0.4
    assert settings["max_new_tokens"] == 4
    assert settings["repetition_penalty"] == resolved.repetition_penalty
    assert settings["do_sample"] is True
    assert not told.problems


def test_a_default_limit_is_told_in_new_tokens(models: Path) -> None:
    model, made = llama(models), []
    model.generation_config.eos_token_id = None  # so that the limit ends it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions warn of the default
        told = recorded(lambda _: made.append(model.generate(prompts())))
    settings = told.ways[0].settings or {}
    limits = {name: settings[name] for name in settings.keys() & {"max_length", "max_new_tokens"}}
    tokens = made[0].shape[1]
    assert (tokens, limits) in (
        (25, {"max_new_tokens": 20}),
        (20, {"max_length": 20}),  # of versions that count the prompt
    )


def test_the_strings_that_stop_a_call_are_told(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        model = llama(models)
        tokenizer = transformers.AutoTokenizer.from_pretrained(models / "llama")
        model.generate(prompts(), stop_strings=["fox", "dog"], tokenizer=tokenizer, **QUIET)
        model.generate(prompts(), **QUIET)

    told = recorded(work)
    settings = [way.settings or {} for way in told.ways]
    assert [one.get("stop_strings") for one in settings] == [["fox", "dog"], None]
    assert not told.problems


def test_equal_calls_are_counted_and_others_are_told(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        model = llama(models)
        for temperature in (0.4, 0.7, 0.4):
            model.generate(prompts(), do_sample=True, temperature=temperature, **QUIET)

    told = recorded(work)
    assert [way.settings and way.settings["temperature"] for way in told.ways] == [0.4, 0.7]
    assert [told.counts[number].calls for number in (1, 2)] == [2, 1]
    count = told.counts[1]
    assert (count.prompts, count.sequences) == (4, 4)
    assert (count.prompt_tokens, count.new_tokens) == (20, 16)


def test_the_model_is_known_by_its_load(models: Path) -> None:
    def work(run: ExperimentContext) -> None:
        model = llama(models)
        model.generate(prompts(), **QUIET)
        last = run.last_generation
        assert last is not None
        digests.append(last.model["digest"])

    digests: list[str] = []
    told = recorded(work)
    assert told.ways[0].model["load_id"] == told.loads[0].load_id
    assert digests[0].startswith("sha256:")


def test_the_summary_joins_calls_and_content(models: Path) -> None:
    with ExperimentContext(name="calls", monitor_hardware=False, capture_level=1) as run:
        llama(models).generate(prompts(), **QUIET)
    assert run.store is not None
    summary = run.store.run(run.id)
    assert summary.generations is not None
    assert summary.models is not None
    way = summary.generations[0]
    assert way["model"]["digest"] == summary.models[0]["digest"]
    assert (way["calls"], way["new_tokens"]) == (1, 8)
    shown = subprocess.run(
        [sys.executable, "-m", "instrument", "runs", "show", run.id],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "greedy, up to 4 new" in shown


def test_the_last_call_is_the_one_that_was_made(models: Path) -> None:
    def work(run: ExperimentContext) -> None:
        before_any = run.last_generation
        assert before_any is None
        model = llama(models)
        torch.manual_seed(7)
        before = random_states()["torch"]
        model.generate(prompts(1), do_sample=True, temperature=0.4, **QUIET)
        last = run.last_generation
        assert last is not None
        assert last.settings is not None
        assert last.settings["temperature"] == 0.4
        assert last.random_state == {"seed": 7, "torch": before}
        assert (last.prompts, last.prompt_tokens, last.new_tokens) == (1, 5, 4)
        model.generate(prompts(1), **QUIET)
        later = run.last_generation
        assert later is not None
        assert later.random_state is None
        with pytest.raises(AttributeError):
            later.call = "another"  # type: ignore[misc]

    assert not recorded(work).problems


def test_recording_does_not_change_what_is_generated(models: Path) -> None:
    def sample() -> Any:
        torch.manual_seed(11)
        made = model.generate(prompts(), do_sample=True, temperature=2.0, **QUIET)
        return made.tolist(), torch.rand(1).item()

    model = llama(models)
    bare = sample()
    results: list[Any] = []
    recorded(lambda _: results.append(sample()))
    assert results == [bare]


def test_a_thread_sees_its_own_last_call(models: Path) -> None:
    def work(run: ExperimentContext) -> None:
        def other() -> None:
            model.generate(prompts(1), **QUIET)
            last = run.last_generation
            seen.append(last.prompts if last is not None else None)

        model = llama(models)
        model.generate(prompts(3), **QUIET)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        last = run.last_generation
        seen.append(last.prompts if last is not None else None)

    seen: list[int | None] = []
    recorded(work)
    assert seen == [1, 3]


def test_the_users_exception_is_the_users_and_is_counted(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        with pytest.raises(ValueError, match="nonsense"):
            llama(models).generate(prompts(), nonsense=1)

    told = recorded(work)
    assert told.counts[1].failed == 1
    assert "nonsense" in str(told.counts[1].error)


def test_an_assistant_is_named_and_its_own_calls_are_no_calls(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        model, assistant = llama(models), llama(models)
        model.generate(prompts(1), assistant_model=assistant, max_new_tokens=4)

    told = recorded(work)
    assert len(told.ways) == 1
    assert told.counts[1].calls == 1
    assert told.ways[0].options["assistant_model"]["load_id"] == told.loads[1].load_id


def test_streamers_beams_and_several_sequences(models: Path) -> None:
    class Streamer:
        def put(self, value: Any) -> None:
            streamed.append(value)

        def end(self) -> None:
            streamed.append("end")

    streamed: list[Any] = []

    def work(_: ExperimentContext) -> None:
        model = llama(models)
        model.generate(prompts(1), streamer=Streamer(), **QUIET)
        model.generate(
            prompts(), num_beams=3, num_return_sequences=2, return_dict_in_generate=True, **QUIET
        )

    told = recorded(work)
    assert streamed[-1] == "end"
    assert told.ways[0].options["streamer"].endswith("Streamer")
    assert (told.counts[2].sequences, told.counts[2].new_tokens) == (4, 16)


def test_the_chat_template_that_was_applied(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(models / "llama")
        model = llama(models)
        model.generate(prompts(), **QUIET)
        tokenizer.apply_chat_template(
            [{"role": "user", "content": "fox"}], add_generation_prompt=True, tokenize=False
        )
        model.generate(prompts(), **QUIET)

    told = recorded(work)
    assert told.ways[0].chat_template is None
    template = told.ways[1].chat_template
    assert template is not None
    loaded = next(load for load in told.loads if load.what == "tokenizer")
    assert template["digest"] == loaded.facts["chat_template"]
    assert template["load_id"] == loaded.load_id
    assert template["options"] == {"add_generation_prompt": True}


def test_a_pipeline_generates_with_what_it_resolved(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        pipe = transformers.pipeline("text-generation", model=str(models / "llama"))
        pipe(["fox", "dog"], do_sample=True, temperature=0.5, **QUIET)

    told = recorded(work)
    assert {way.options["pipeline"] for way in told.ways} == {"text-generation"}
    assert {way.settings and way.settings["temperature"] for way in told.ways} == {0.5}
    assert sum(count.prompts for count in told.counts.values()) == 2


def test_a_pipeline_that_does_not_generate_is_counted_too(models: Path) -> None:
    def work(_: ExperimentContext) -> None:
        pipe = transformers.pipeline("feature-extraction", model=str(models / "llama"))
        for text in ["the quick fox"] * 3:
            pipe(text)

    told = recorded(work)
    assert [way.call for way in told.ways] == ["transformers.FeatureExtractionPipeline"]
    assert (told.counts[1].calls, told.counts[1].prompts) == (3, 3)
    assert told.counts[1].prompt_tokens > 0


STEPS = ("_prepare", "_resolve", "_begin", "_end")


def slowly(work: Callable[..., None], seconds: float) -> Callable[..., None]:
    def slow(*args: Any) -> None:
        time.sleep(seconds)
        work(*args)

    return slow


def test_what_a_call_costs_is_told_without_what_the_model_does(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of ours is slow; the third call of the model is slow in itself."""
    model, slept = llama(models), [0.0]

    def works(_: Any, scores: Any) -> Any:
        time.sleep(0.03)
        slept[0] += 0.03
        return scores

    for step in STEPS:
        monkeypatch.setattr(calls, step, slowly(getattr(calls, step), 0.01))
    with ExperimentContext(name="calls", monitor_hardware=False, capture_level=1) as run:
        assert run.recording is not None
        told = run.recording.overhead.told
        for _ in range(2):
            model.generate(prompts(1), **QUIET)
        before = told(1)["interception_blocking_seconds"]
        assert before >= 2 * 0.01 * len(STEPS)
        began = time.perf_counter()
        model.generate(prompts(1), logits_processor=[works], **QUIET)
        spent = time.perf_counter() - began
    assert slept[0] > 0
    cost = told(1)["interception_blocking_seconds"] - before
    assert 0.01 * len(STEPS) <= cost <= spent - slept[0]


def test_a_batch_of_a_pipeline_is_told_what_it_costs(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = transformers.pipeline("feature-extraction", model=str(models / "llama"))
    monkeypatch.setattr(calls, "_count_inputs", slowly(calls._count_inputs, 0.05))
    with ExperimentContext(name="calls", monitor_hardware=False, capture_level=1) as run:
        assert run.recording is not None
        pipe("the quick fox")
        assert run.recording.overhead.told(1)["interception_blocking_seconds"] >= 0.05


def test_ways_without_end_stay_bounded(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAX_WAYS", 3)

    def work(_: ExperimentContext) -> None:
        model = llama(models)
        for number in range(6):
            model.generate(prompts(1), temperature=0.1 + number, do_sample=True, **QUIET)

    told = recorded(work)
    assert len(told.ways) == 4
    assert told.ways[3].settings is None
    assert told.counts[4].calls == 3


def test_the_model_is_not_kept_alive(models: Path) -> None:
    import gc
    import weakref

    def work(_: ExperimentContext) -> None:
        model = llama(models)
        model.generate(prompts(), **QUIET)
        reference = weakref.ref(model)
        del model
        gc.collect()
        assert reference() is None

    recorded(work)


def test_a_killed_process_leaves_its_counts_and_says_so(models: Path, tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        textwrap.dedent(f"""
        import torch, transformers
        from instrument import ExperimentContext
        with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
            model = transformers.LlamaForCausalLM.from_pretrained({str(models / "llama")!r})
            ids = torch.full((1, 5), 5)
            while True:
                model.generate(ids, max_new_tokens=2)
                print(run.id, flush=True)
        """)
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    shown = subprocess.run(
        [sys.executable, "-m", "instrument", "runs", "show", run_id, "--json"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    run = json.loads(shown)
    assert run["generations"][0]["calls"] >= 1
    assert any("last counts of journal" in note for note in run["recording"]["notes"])
