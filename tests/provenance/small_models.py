"""Small models and tokenizers, made here: as base models come, and as they should not."""

import pydoc_data.topics
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

TEXT_END = "<|endoftext|>"
START, END = "<|im_start|>", "<|im_end|>"
PAD = "<|pad|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' }}{% endfor %}[TOOL]"
)
CHAT = (START, END)


def bpe(*special: str, bos: str | None = None, **options: Any) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; `bos` is put before each text, as many base models want it."""
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = [*([bos] if bos else []), TEXT_END, *special]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "\n".join(list(pydoc_data.topics.topics.values())[:20])
    tokenizer.train_from_iterator([text], trainer)
    if bos:
        surround(tokenizer, f"{bos} $A")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=TEXT_END,
        model_input_names=["input_ids", "attention_mask"],
        **options,
    )


def surround(tokenizer: Any, pattern: str) -> None:
    """Let the tokenizer put special tokens around a text."""
    names = [name for name in pattern.split() if name != "$A"]
    ids = [(name, tokenizer.token_to_id(name)) for name in names]
    tokenizer.post_processor = processors.TemplateProcessing(single=pattern, special_tokens=ids)


def sneaking() -> PreTrainedTokenizerFast:
    """A tokenizer whose normaliser puts the start of a turn before every text."""
    tokenizer = bpe()
    start = AddedToken(START, special=True, normalized=True)
    tokenizer.add_tokens([start], special_tokens=True)
    backend: Any = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Prepend(START)
    return tokenizer


def llama(tokenizer: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def gpt2(tokenizer: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=256,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def always(tokenizer: Any, token: str) -> LlamaForCausalLM:
    """A model that continues everything with `token`."""
    model = llama(tokenizer)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.fill_(1.0)
        model.lm_head.weight.zero_()
        model.lm_head.weight[tokenizer.convert_tokens_to_ids(token)] = 1.0
    return model


def saved(directory: Path, model: Any, tokenizer: Any, **options: Any) -> str:
    model.save_pretrained(directory, **options)
    tokenizer.save_pretrained(directory)
    return str(directory)
