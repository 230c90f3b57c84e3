"""Small models, made once."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nothing_traced() -> Iterator[None]:
    """What one test has traced by name is not looked for in the next."""
    yield
    tracing = sys.modules.get("instrument.intercept.tracing")
    if tracing is not None:
        tracing._names.clear()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models: ``llama``, ``gpt2`` (tied weights), ``sharded``."""
    from provenance import small_models as made

    root = tmp_path_factory.mktemp("models")
    tokenizer = made.bpe(made.PAD, bos="<s>", pad_token=made.PAD)
    tokenizer.chat_template = made.TEMPLATE
    llama = made.llama(tokenizer)
    made.saved(root / "llama", llama, tokenizer)
    made.saved(root / "gpt2", made.gpt2(tokenizer), tokenizer)
    made.saved(root / "sharded", llama, tokenizer, max_shard_size="20KB")
    return root


@pytest.fixture(scope="session")
def adapter(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter for the llama."""
    peft = pytest.importorskip("peft", reason="peft is not installed: no adapter to load")
    from transformers import LlamaForCausalLM

    root = tmp_path_factory.mktemp("adapters") / "lora"
    base = LlamaForCausalLM.from_pretrained(models / "llama")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft and transformers warn of one another
        peft.get_peft_model(base, config).save_pretrained(root)
    return root
