"""A reward that anybody can check: is a text made of known words, and does it go on saying more?"""

import re
from collections.abc import Iterable
from itertools import pairwise

FULL_LENGTH_WORDS = 20


class WordReward:
    """The share of words that are known, times that of word pairs that are new, times the length.

    Inventing words, saying the same again and stopping before `FULL_LENGTH_WORDS` all cost.

    Args:
        reference: Texts whose words count as known.
    """

    def __init__(self, reference: Iterable[str]) -> None:
        self._known = {word for text in reference for word in words_of(text)}

    def __call__(self, text: str) -> float:
        """The reward of `text`, from 0 to 1."""
        words = words_of(text)
        pairs = list(pairwise(words))
        if not pairs:
            return 0.0
        known = sum(word in self._known for word in words) / len(words)
        new = len(set(pairs)) / len(pairs)
        return known * new * min(len(words) / FULL_LENGTH_WORDS, 1.0)


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return re.findall(r"[a-z']+", text.lower())
