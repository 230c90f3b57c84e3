"""A tokenizer that was loaded to do without chat templates cannot apply one; others can."""

import copy
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument.errors import ContaminationError
from instrument.provenance import CleanModelLoader
from instrument.provenance.templates import TemplateDisabledError, template_is_disabled

CHAT = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def clean(shelf: Path) -> Any:
    return CleanModelLoader(str(shelf / "chat"), sentinels=()).load()[1]


def same(tokenizer: Any) -> Any:
    return tokenizer


def _lacking(*_: Any, **__: Any) -> None:
    raise ImportError("jinja2 is not installed; it may be tomorrow")


@pytest.mark.parametrize(
    "kept",
    [same, copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],  # noqa: S301 - ours
    ids=["itself", "copy", "deepcopy", "pickle"],
)
def test_it_refuses_however_it_is_asked(clean: Any, kept: Callable[[Any], Any]) -> None:
    tokenizer = kept(clean)
    for given in ({}, {"chat_template": "{{ messages }}"}, {"tokenize": False}):
        with pytest.raises(TemplateDisabledError, match="CleanModelLoader"):
            tokenizer.apply_chat_template(CHAT, **given)
    assert tokenizer.chat_template is None
    assert template_is_disabled(tokenizer)
    assert tokenizer("a b")["input_ids"] == clean("a b")["input_ids"]


def test_a_pipeline_cannot_chat_with_it(shelf: Path) -> None:
    from transformers import pipeline

    model, tokenizer, _ = CleanModelLoader(str(shelf / "chat"), sentinels=()).load()
    talk = pipeline("text-generation", model=model, tokenizer=tokenizer)
    with pytest.raises(TemplateDisabledError):
        talk(CHAT, max_new_tokens=2)
    assert talk("plain text", max_new_tokens=2)


def test_what_is_saved_has_no_template(clean: Any, tmp_path: Path) -> None:
    clean.save_pretrained(tmp_path)
    assert not (tmp_path / "chat_template.jinja").exists()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config.get("chat_template") is None


def test_other_tokenizers_and_the_class_are_as_they_were(shelf: Path) -> None:
    from transformers import AutoTokenizer

    before = AutoTokenizer.from_pretrained(shelf / "chat")
    methods = dict(vars(type(before)))
    clean = CleanModelLoader(str(shelf / "chat"), sentinels=()).load()[1]
    after = AutoTokenizer.from_pretrained(shelf / "chat")
    assert type(clean) is type(before)
    assert dict(vars(type(before))) == methods
    for other in (before, after):
        text = other.apply_chat_template(CHAT, tokenize=False)
        assert text == "<|im_start|>user\nhello<|im_end|>[TOOL]"
        assert not template_is_disabled(other)


def test_a_tokenizer_that_fails_otherwise_is_not_taken_for_one_that_refuses(shelf: Path) -> None:
    from transformers import AutoTokenizer

    without: Any = AutoTokenizer.from_pretrained(shelf / "gpt2")
    assert without.chat_template is None  # applying one is a ValueError, until one is given
    assert not template_is_disabled(without)
    without.apply_chat_template = _lacking
    assert not template_is_disabled(without)


def test_a_template_that_comes_back_is_found(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that does not let the method be replaced: the check has to see it."""
    monkeypatch.setattr("instrument.provenance.loader.disable_template", lambda _: None)
    with pytest.raises(ContaminationError, match="apply_chat_template still works"):
        CleanModelLoader(str(shelf / "chat"), sentinels=()).load()


def test_threads_load_apart(shelf: Path) -> None:
    from transformers import PreTrainedModel

    found: list[bool] = []
    tie_weights = PreTrainedModel.tie_weights

    def work(name: str) -> None:
        loader = CleanModelLoader(str(shelf / name), sentinels=())
        found.append(loader.load()[2]["template_disabled"])

    threads = [threading.Thread(target=work, args=(name,)) for name in ("chat", "gpt2") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert PreTrainedModel.tie_weights is tie_weights


def test_the_template_that_was_taken_is_known_by_its_digest(shelf: Path) -> None:
    import hashlib

    from provenance import small_models as made

    provenance = CleanModelLoader(str(shelf / "chat"), sentinels=()).load()[2]
    digest = f"sha256:{hashlib.sha256(made.TEMPLATE.encode()).hexdigest()}"
    assert provenance["chat_templates"] == {"default": digest}
