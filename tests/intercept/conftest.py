"""Small models, made once."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(autouse=True)
def nothing_traced() -> Iterator[None]:
    """What one test has traced by name is not looked for in the next."""
    yield
    tracing = sys.modules.get("instrument.intercept.tracing")
    if tracing is not None:
        tracing._names.clear()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models: ``llama``, ``gpt2`` (tied weights), ``sharded``, ``lora``."""
    root = tmp_path_factory.mktemp("models")
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )
    gpt2 = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=64,
            tie_word_embeddings=True,
        )
    )
    for name, model, shard in (
        ("llama", llama, "1GB"),
        ("gpt2", gpt2, "1GB"),
        ("sharded", llama, "20KB"),
    ):
        model.save_pretrained(root / name, max_shard_size=shard)
        tokenizer.save_pretrained(root / name)
    return root


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer = Tokenizer(models.BPE(unk_token=names["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = list(names.values())
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATE, **names)


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
