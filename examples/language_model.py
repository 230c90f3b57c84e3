"""A small causal language model of the Llama kind, and its tokenizer, built and trained here."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

END = "<|end|>"
VOCABULARY = 1024
WINDOW_TOKENS = 128
PROMPT_TOKENS = 8

disable_progress_bar()
BATCH = 8


def new_tokenizer(texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer trained on `texts`: no text is unknown to it."""
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def new_model(tokenizer: Any) -> Any:
    """An untrained model with half a million parameters."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2 * WINDOW_TOKENS,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def save(model: Any, tokenizer: Any, directory: Path) -> Path:
    """Write both into `directory`, as everybody expects them there; returns it."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def load(directory: Path) -> tuple[Any, Any]:
    """The model and the tokenizer that `save` wrote."""
    return (
        AutoModelForCausalLM.from_pretrained(directory),
        AutoTokenizer.from_pretrained(directory),
    )


def windows(tokenizer: Any, texts: Iterable[str]) -> torch.Tensor:
    """All `texts` one after another, cut into rows of `WINDOW_TOKENS` token ids."""
    ids: list[int] = []
    for text in texts:
        ids += [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    count = len(ids) // WINDOW_TOKENS
    return torch.tensor(ids[: count * WINDOW_TOKENS]).view(count, WINDOW_TOKENS)


def training_steps(
    model: Any, rows: torch.Tensor, steps: int, learning_rate: float
) -> Iterator[float]:
    """Next-token training on random rows; yields the loss of each step after it is taken."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    for _ in range(steps):
        model.train()
        batch = rows[torch.randint(len(rows), (BATCH,))]
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        yield loss.item()


@torch.no_grad()
def perplexity(model: Any, rows: torch.Tensor) -> float:
    """Of the next token, over all `rows`."""
    model.eval()
    losses = [model(input_ids=row[None], labels=row[None]).loss for row in rows]
    return torch.stack(losses).mean().exp().item()


@torch.no_grad()
def complete(
    model: Any, tokenizer: Any, texts: Iterable[str], tokens: int = 48
) -> list[tuple[str, str]]:
    """A sampled continuation of the start of each text, as (prompt, continuation)."""
    model.eval()
    starts = [tokenizer(text)["input_ids"][:PROMPT_TOKENS] for text in texts]
    prompts = torch.tensor([start for start in starts if len(start) == PROMPT_TOKENS])
    whole = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=tokens,
        do_sample=True,
        temperature=0.8,
    )
    return [
        (
            tokenizer.decode(row[:PROMPT_TOKENS]),
            tokenizer.decode(row[PROMPT_TOKENS:], skip_special_tokens=True),
        )
        for row in whole
    ]
