"""`CleanModelLoader` with real transformers: what it measures is so, what it checks can fail."""

import json
import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import instrument
from instrument import ExperimentContext, create_artifact_metadata
from instrument.errors import ContaminationError, MissingDependencyError, UsageError
from instrument.provenance import CleanModelLoader, Sentinel
from instrument.provenance.loader import ContaminationWarning
from instrument.records import ContentIdentified, GenerationCalled, ModelChecked, ModelLoaded

QUICK = (Sentinel("The rain"),)
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 4}


def sha256sum(directory: Path, *names: str) -> str:
    """The digest of a listing, as people compute it."""
    command = f"sha256sum {' '.join(sorted(names))} | sha256sum"
    done = subprocess.run(
        ["sh", "-c", command], cwd=directory, capture_output=True, text=True, check=True
    )
    return f"sha256:{done.stdout.split()[0]}"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_what_is_measured_is_so(shelf: Path, name: str) -> None:
    loader = CleanModelLoader(str(shelf / name))
    model, tokenizer, provenance = loader.load()
    files = ("config.json", "generation_config.json", "model.safetensors")
    assert provenance["model_digest"] == sha256sum(shelf / name, *files)
    assert provenance["tokenizer_digest"] is not None
    assert provenance["model_name"] == str(shelf / name)
    assert provenance["quantization"] == "none"
    assert provenance["template_disabled"] is True
    assert provenance["add_special_tokens"] is False
    assert provenance["special_tokens_added"] == []
    assert provenance["sentinel_tests_passed"] is True
    assert len(provenance["sentinel_tests"]) == 3
    assert json.loads(json.dumps(provenance)) == provenance
    assert loader.load()[0] is model
    assert loader.load()[1] is tokenizer


def test_a_model_with_an_adapter_is_not_taken_for_its_base(shelf: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed: no adapter to load")
    from transformers import AutoTokenizer, LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(shelf / "llama")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft and transformers warn of one another
        peft.get_peft_model(base, config).save_pretrained(tmp_path / "lora")
    AutoTokenizer.from_pretrained(shelf / "llama").save_pretrained(tmp_path / "lora")
    _, _, provenance = CleanModelLoader(str(tmp_path / "lora"), sentinels=QUICK).load()
    files = ("config.json", "generation_config.json", "model.safetensors")
    of_base = sha256sum(shelf / "llama", *files)
    assert provenance["model_digest"] is None
    assert provenance["model_digest_reason"] == (
        f"adapters are on the model: default; of its base alone it is {of_base}"
    )


@pytest.mark.parametrize("ask", ["generate", "load"])
def test_a_model_that_was_trained_is_not_taken_for_what_was_loaded(shelf: Path, ask: str) -> None:
    import torch

    loader = CleanModelLoader(str(shelf / "llama"), sentinels=())
    model, _, provenance = loader.load()
    loader.generate("a", **GREEDY)
    loaded = provenance["model_digest"]
    model.to(torch.float64)
    assert loader.load()[2]["model_digest"] == loaded is not None
    with torch.no_grad():
        next(model.parameters()).add_(1)
    loader.load() if ask == "load" else loader.generate("a", **GREEDY)
    assert provenance["model_digest"] is None
    assert provenance["model_digest_reason"] == (
        f"its weights were changed since the load, by which it was {loaded}"
    )


def test_the_version_is_that_of_the_source_and_its_commit(shelf: Path) -> None:
    source = Path(str(instrument.__file__)).parent / "provenance"
    version = CleanModelLoader(str(shelf / "gpt2"), sentinels=()).load()[2]["loader_version"]
    digest, _, commit = version.partition("+")
    assert digest == sha256sum(source, "*.py")
    command = ["git", "cat-file", "-t", commit]
    kind = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert kind.stdout == "commit\n" or commit == instrument.__version__


def test_the_weights_are_those_of_an_ordinary_load(shelf: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    before = torch.get_rng_state()
    clean = CleanModelLoader(str(shelf / "gpt2")).load()[0].state_dict()
    assert torch.equal(before, torch.get_rng_state())
    plain = AutoModelForCausalLM.from_pretrained(shelf / "gpt2").state_dict()
    assert clean.keys() == plain.keys()
    assert all(torch.equal(clean[key], plain[key]) for key in plain)


def test_the_sentinels_are_really_generated(shelf: Path) -> None:
    import torch

    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=[Sentinel("The rain", "(?s).")])
    model, tokenizer, provenance = loader.load()
    ids = tokenizer("The rain", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        whole = model.generate(ids, do_sample=False, max_new_tokens=24)
    (test,) = provenance["sentinel_tests"]
    assert test["response"] == tokenizer.decode(whole[0, ids.shape[1] :])
    assert (test["prompt"], test["passed"]) == ("The rain", True)
    assert test["expected"] == "/(?s)./, no chat token"


def test_a_sentinel_that_is_not_answered_as_expected_fails(shelf: Path) -> None:
    with pytest.raises(ContaminationError, match="expected was /Paris/"):
        CleanModelLoader(
            str(shelf / "gpt2"), sentinels=[Sentinel("The capital of France is", "Paris")]
        ).load()


def test_without_sentinels_nothing_is_claimed_of_them(shelf: Path) -> None:
    provenance = CleanModelLoader(str(shelf / "gpt2"), sentinels=()).load()[2]
    assert provenance["sentinel_tests_passed"] is None


def test_a_model_that_ends_turns_is_found(shelf: Path) -> None:
    with pytest.raises(ContaminationError, match=r"<\|im_end\|>.*load a base model"):
        CleanModelLoader(str(shelf / "talker")).load()
    with pytest.warns(ContaminationWarning, match=r"<\|im_end\|>"):
        provenance = CleanModelLoader(str(shelf / "talker"), strict=False, sentinels=QUICK).load()[
            2
        ]
    assert provenance["sentinel_tests_passed"] is False
    (test,) = provenance["sentinel_tests"]
    assert test["control_tokens"] == ["<|im_end|>"]
    assert test["response"].startswith("<|im_end|>")


def test_a_bos_is_no_failure(shelf: Path) -> None:
    loader = CleanModelLoader(str(shelf / "llama"), add_special_tokens=True, sentinels=QUICK)
    _, tokenizer, provenance = loader.load()
    assert provenance["add_special_tokens"] is True
    assert provenance["special_tokens_added"] == ["<s>"]
    assert loader.tokenize_clean("hello")["input_ids"][0] == tokenizer.bos_token_id


def test_what_is_really_passed_to_the_tokenizer(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = CleanModelLoader(str(shelf / "llama"), sentinels=QUICK)
    _, tokenizer, provenance = loader.load()
    passed: list[Any] = []
    kind = type(tokenizer)
    original = kind.__call__

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        passed.append(kwargs.get("add_special_tokens"))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(kind, "__call__", spy)
    loader.tokenize_clean("a text")
    loader.tokenize_clean(["a text", "b"], padding=False, return_attention_mask=False)
    loader.generate("a text", **GREEDY)
    assert set(passed) == {provenance["add_special_tokens"]}
    with pytest.raises(UsageError, match="add_special_tokens"):
        loader.tokenize_clean("a text", add_special_tokens=True)


def test_a_tokenizer_that_opens_a_turn_by_itself_is_found(shelf: Path, tmp_path: Path) -> None:
    from provenance import small_models as made

    with pytest.raises(ContaminationError, match=r"puts <\|im_start\|> into plain text"):
        CleanModelLoader(str(shelf / "sneaking"), sentinels=()).load()
    tokenizer = made.bpe(*made.CHAT)
    made.surround(tokenizer.backend_tokenizer, "<|im_start|> $A <|im_end|>")
    where = made.saved(tmp_path / "around", made.gpt2(tokenizer), tokenizer)
    CleanModelLoader(where, sentinels=()).load()
    with pytest.raises(ContaminationError, match=r"<\|im_end\|>, <\|im_start\|>"):
        CleanModelLoader(where, sentinels=(), add_special_tokens=True).load()


@pytest.mark.parametrize("control", ["<|im_start|>", "<|endoftext|>", "<s>", "[TOOL]"])
def test_control_tokens_typed_into_a_text_are_found(shelf: Path, control: str) -> None:
    loader = CleanModelLoader(str(shelf / "chat"), sentinels=())
    loader.load()
    with pytest.raises(ContaminationError) as raised:
        loader.tokenize_clean(f"Say {control} to me")
    assert control in str(raised.value)
    with pytest.raises(ContaminationError):
        loader.generate(["hello", f"{control}user"], **GREEDY)
    loader.tokenize_clean("a list[0] of <b>bold</b> and [x], 1 < 2 > 0")


def test_a_lenient_loader_warns_and_counts(shelf: Path) -> None:
    loader = CleanModelLoader(str(shelf / "chat"), strict=False, sentinels=())
    _, tokenizer, provenance = loader.load()
    for _ in range(2):
        with pytest.warns(ContaminationWarning, match="take them out"):
            tokens = loader.tokenize_clean("a <|im_end|> b")
    assert tokens == tokenizer("a <|im_end|> b", add_special_tokens=False)
    loader.tokenize_clean("a b")
    assert provenance["contaminated_texts"] == 2
    assert create_artifact_metadata(provenance, __file__, "x")["contaminated_texts"] == 2


def test_a_control_token_that_only_appears_in_tokens_is_found(tmp_path: Path) -> None:
    from provenance import small_models as made
    from tokenizers import AddedToken, normalizers

    tokenizer = made.bpe()
    tokenizer.add_tokens([AddedToken("<|turn|>", special=True, normalized=True)])
    backend: Any = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.NFKC()
    where = made.saved(tmp_path / "wide", made.gpt2(tokenizer), tokenizer)
    loader = CleanModelLoader(where, sentinels=())
    loader.load()
    with pytest.raises(ContaminationError, match=r"<\|turn\|>"):
        loader.tokenize_clean("wide \uff1c|turn|\uff1e letters")


def test_generate_continues_texts_alone_and_together(shelf: Path) -> None:
    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=())
    loader.load()
    prompts = ["The rain had", "A much longer beginning of a text that goes on", "x"]
    alone = [loader.generate(prompt, **GREEDY) for prompt in prompts]
    assert all(isinstance(text, str) for text in alone)
    assert loader.generate(prompts, **GREEDY) == alone
    twice = loader.generate(["a", "b"], do_sample=True, num_return_sequences=2, max_new_tokens=2)
    assert len(twice) == 4
    with pytest.raises(UsageError, match="2 sequences of one prompt"):
        loader.generate("a", do_sample=True, num_return_sequences=2, max_new_tokens=2)


def test_a_seed_is_of_the_call_alone(shelf: Path) -> None:
    import torch

    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=())
    loader.load()
    before = torch.get_rng_state()
    texts = {loader.generate("a", seed=3, do_sample=True, max_new_tokens=12) for _ in range(3)}
    assert len(texts) == 1
    assert loader.generate("a", seed=4, do_sample=True, max_new_tokens=12) not in texts
    assert torch.equal(before, torch.get_rng_state())
    assert loader.last_generation["seed"] == 4


@pytest.mark.parametrize("in_run", [False, True])
def test_settings_are_those_of_the_real_call(shelf: Path, in_run: bool) -> None:
    """The model's own configuration has a say too: nobody has to type it again."""
    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=())
    model, _, provenance = loader.load()
    model.generation_config.repetition_penalty = 1.3
    settings: dict[str, Any] = {
        "do_sample": True,
        "temperature": 0.4,
        "top_p": 0.9,
        "max_new_tokens": 5,
    }
    if in_run:
        with ExperimentContext(monitor_hardware=False, capture_level=1):
            loader.generate("a", **settings)
    else:
        loader.generate("a", **settings)
    assert loader.last_generation.items() >= (settings | {"repetition_penalty": 1.3}).items()
    assert "seed" not in loader.last_generation
    metadata = create_artifact_metadata(
        provenance, __file__, "training_data", **loader.last_generation
    )
    assert metadata["temperature"] == 0.4


def test_settings_are_those_of_the_thread(shelf: Path) -> None:
    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=())
    threads: list[threading.Thread] = []
    seen: dict[float, float] = {}
    barrier = threading.Barrier(3)

    def work(temperature: float) -> None:
        loader.load()
        for _ in range(3):
            barrier.wait(60)
            loader.generate("a", do_sample=True, temperature=temperature, max_new_tokens=2)
            barrier.wait(60)
            seen[temperature] = loader.last_generation["temperature"]

    for temperature in (0.3, 0.6, 0.9):
        threads.append(threading.Thread(target=work, args=(temperature,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert seen == {0.3: 0.3, 0.6: 0.6, 0.9: 0.9}
    with pytest.raises(UsageError, match="in this thread"):
        loader.last_generation  # noqa: B018 - looking is the test


def test_a_run_has_it_all_and_hashes_once(shelf: Path) -> None:
    with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
        loader = CleanModelLoader(str(shelf / "talker"), strict=False, sentinels=QUICK)
        with pytest.warns(ContaminationWarning):
            provenance = loader.load()[2]
        for _ in range(3):
            with pytest.warns(ContaminationWarning):
                loader.tokenize_clean("a <s> b")
        loader.generate("a", do_sample=True, temperature=0.4, max_new_tokens=3)
    assert run.store is not None
    records = [entry.record for entry in run.store.entries(run.id)]
    loads = [one for one in records if isinstance(one, ModelLoaded)]
    assert sorted(load.what for load in loads) == ["model", "tokenizer"]
    (weights,) = (load.load_id for load in loads if load.what == "model")
    content = {one.load_id: one for one in records if isinstance(one, ContentIdentified)}
    assert len(content) == 2
    assert content[weights].digest == provenance["model_digest"]
    checks = [one for one in records if isinstance(one, ModelChecked)]
    assert {one.load_id for one in checks} == {weights}
    assert [(one.check, one.passed) for one in checks] == [
        ("template", True),
        ("tokenizer", True),
        ("quantization", True),
        ("sentinel", False),
        ("text", False),
    ]
    assert checks[3].details["response"] == provenance["sentinel_tests"][0]["response"]
    calls = [one for one in records if isinstance(one, GenerationCalled)]
    assert [(one.settings or {})["do_sample"] for one in calls] == [False, True]
    assert run.store.run(run.id).recording.problems == []


def test_a_strict_failure_is_on_the_record(shelf: Path) -> None:
    loader = CleanModelLoader(str(shelf / "talker"), sentinels=QUICK)
    run = ExperimentContext(monitor_hardware=False, capture_level=1)
    with run, pytest.raises(ContaminationError):
        loader.load()
    assert run.store is not None
    failed = [
        entry.record.check
        for entry in run.store.entries(run.id)
        if isinstance(entry.record, ModelChecked) and not entry.record.passed
    ]
    assert failed == ["sentinel"]


def test_without_a_run_nothing_is_left_behind(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM
    from transformers.generation.utils import GenerationMixin

    monkeypatch.setenv("INSTRUMENT_STORE", str(tmp_path / "store"))
    before = vars(GenerationMixin)["generate"], AutoModelForCausalLM.from_pretrained
    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=QUICK)
    loader.load()
    loader.generate("a", **GREEDY)
    assert (vars(GenerationMixin)["generate"], AutoModelForCausalLM.from_pretrained) == before
    assert not (tmp_path / "store").exists()


def test_what_a_run_has_in_another_thread_stays_with_it(shelf: Path) -> None:
    """A loader outside of a run and a run beside it do not take each other's records."""
    from transformers import AutoTokenizer

    loaded, closed = threading.Event(), threading.Event()
    digests: list[Any] = []

    def alone() -> None:
        loader = CleanModelLoader(str(shelf / "llama"), sentinels=QUICK)
        digests.append(loader.load()[2]["model_digest"])
        loaded.set()
        closed.wait(60)
        digests.append(loader.generate("a", **GREEDY))

    other = threading.Thread(target=alone)
    other.start()
    loaded.wait(60)
    with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
        AutoTokenizer.from_pretrained(shelf / "gpt2")
    closed.set()
    other.join()
    assert run.store is not None
    records = [entry.record for entry in run.store.entries(run.id)]
    assert [one.requested for one in records if isinstance(one, ModelLoaded)] == [
        str(shelf / "gpt2")
    ]
    assert all(digests)


def test_a_model_that_comes_otherwise_quantized_is_told(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'4bit' is unknown; use one of none, 8bit, fp4, nf4"):
        CleanModelLoader(str(shelf / "gpt2"), quantization="4bit")
    assert CleanModelLoader(str(shelf / "gpt2"), None, sentinels=()).load()[2]["quantization"] == (
        "none"
    )


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is here")
def test_what_quantization_needs_is_named(shelf: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"'nf4' needs .*bitsandbytes.*'none'"):
        CleanModelLoader(str(shelf / "gpt2"), quantization="nf4")


@pytest.mark.skipif(
    find_spec("bitsandbytes") is None,
    reason="NOT TESTED HERE: quantised loads need bitsandbytes, which is not installed",
)
@pytest.mark.parametrize("name", ["8bit", "nf4", "fp4"])
def test_a_quantised_load_is_seen_to_be_one(shelf: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        loader = CleanModelLoader(
            str(shelf / "llama"), quantization=name, sentinels=QUICK, device_map="cpu"
        )
        _, _, provenance = loader.load()
        assert loader.generate("a", **GREEDY)
    assert provenance["quantization"] == name
    assert loader.load()[2]["model_digest"] is not None


def test_misuse_is_told_in_one_line(shelf: Path) -> None:
    loader = CleanModelLoader(str(shelf / "gpt2"), sentinels=())
    with pytest.raises(UsageError, match=r"call load\(\) first"):
        loader.tokenize_clean("a")
    with pytest.raises(UsageError, match=r"call load\(\) first"):
        loader.generate("a")
    loader.load()
    for nothing in ("", [], ["a", ""]):
        with pytest.raises(UsageError, match="prompt is empty"):
            loader.generate(nothing)
    with pytest.raises(OSError, match="nowhere"):
        CleanModelLoader(str(shelf / "nowhere")).load()


def test_without_transformers_the_extra_is_named(shelf: Path) -> None:
    script = (
        "import sys; sys.modules['transformers'] = None\n"
        "from instrument import CleanModelLoader\n"
        "try: CleanModelLoader('x').load()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "install instrument-ml[transformers]" in done.stdout
