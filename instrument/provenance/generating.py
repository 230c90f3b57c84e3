"""Continuations of tokenized prompts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def continuations(
    model: Any, tokenizer: Any, prompts: list[list[int]], settings: dict[str, Any]
) -> list[list[int]]:
    """The ids of what `model` continues each prompt with; the prompts are one batch.

    Args:
        model: The model.
        tokenizer: Says what a batch is filled up with, on the left.
        prompts: Ids.
        settings: Arguments of ``generate``.
    """
    import torch

    filling = _filling(tokenizer)
    length = max(map(len, prompts))
    rows = [[filling] * (length - len(ids)) + ids for ids in prompts]
    masks = [[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts]
    own = getattr(model.generation_config, "pad_token_id", None)
    whole = model.generate(
        torch.tensor(rows, device=model.device),
        attention_mask=torch.tensor(masks, device=model.device),
        **({"pad_token_id": filling} if own is None else {}) | settings,
    )
    sequences = getattr(whole, "sequences", whole)  # with return_dict_in_generate
    return [row[length:].tolist() for row in sequences]


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """A block with torch's generators seeded; their state is as before when it ends."""
    if seed is None:
        yield
        return
    import torch

    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _filling(tokenizer: Any) -> int:
    """What stands before the shorter prompts of a batch; the model does not look at it."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(number) for number in known if number is not None)
