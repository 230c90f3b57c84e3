"""A reward that anybody can check: does a text consist of known words, without repeating itself?"""

import re
from collections.abc import Iterable
from itertools import pairwise

MIN_WORDS = 5


class WordReward:
    """The share of words that the reference has, times the share of word pairs that are new.

    Inventing words and saying the same again both cost; a text of fewer than
    `MIN_WORDS` words is worth nothing.

    Args:
        reference: Texts whose words count as known.
    """

    def __init__(self, reference: Iterable[str]) -> None:
        self._known = {word for text in reference for word in words_of(text)}

    def __call__(self, text: str) -> float:
        """The reward of `text`, from 0 to 1."""
        words = words_of(text)
        if len(words) < MIN_WORDS:
            return 0.0
        pairs = list(pairwise(words))
        known = sum(word in self._known for word in words) / len(words)
        return known * len(set(pairs)) / len(pairs)


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return re.findall(r"[a-z']+", text.lower())
