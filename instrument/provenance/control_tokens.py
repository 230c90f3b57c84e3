"""Tokens that steer a model instead of being text to it, derived from its own tokenizer."""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_MARKER: Final = re.compile(r"<+[^<>\s]{1,60}>+|\[/?[A-Z][A-Z_]*\]")
"""What looks like one: ``<|im_start|>``, ``</s>``, ``<<SYS>>``, ``[INST]``."""


class ControlTokens(NamedTuple):
    """The control tokens of one tokenizer.

    Attributes:
        texts: How they are spelled.
        ids: Those that are one token, by id.
        leading: Ids that the tokenizer may put before a text: BOS, CLS.
        trailing: Ids that it may put behind one: EOS, SEP, unless a chat ends its turns with it.
        chat: Spellings of those that only a chat has: a text may end, and be filled up, anywhere.
    """

    texts: frozenset[str]
    ids: dict[int, str]
    leading: frozenset[int]
    trailing: frozenset[int]
    chat: frozenset[str]

    def in_text(self, text: str) -> tuple[str, ...]:
        """Those that are spelled in `text`, sorted."""
        return tuple(sorted(control for control in self.texts if control in text))

    def in_tokens(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Those among `ids`, sorted; a BOS at the start and an EOS at the end are no finding."""
        found = {self.ids[number] for number in self.inside(ids) if number in self.ids}
        return tuple(sorted(found))

    def inside(self, ids: Sequence[int]) -> Sequence[int]:
        """`ids` without a BOS at the start and an EOS at the end."""
        start, end = self._ends(ids)
        return ids[start:end]

    def around(self, ids: Sequence[int]) -> list[str]:
        """The BOS at the start and the EOS at the end of `ids`."""
        start, end = self._ends(ids)
        return [self.ids[number] for number in (*ids[:start], *ids[end:])]

    def _ends(self, ids: Sequence[int]) -> tuple[int, int]:
        start = 1 if len(ids) > 0 and ids[0] in self.leading else 0
        end = len(ids) - 1 if len(ids) > start and ids[-1] in self.trailing else len(ids)
        return start, end


def control_tokens(tokenizer: Any) -> ControlTokens:
    """The control tokens of `tokenizer`, which still has its chat template.

    They are its special tokens, the added tokens that look like markers or that a chat template
    names, and the markers in its chat templates, whether they are tokens or not.
    """
    template = "\n".join(chat_templates(tokenizer).values())
    in_template = {
        *_MARKER.findall(template),
        *(getattr(tokenizer, "chat_control_tokens", ()) or ()),
    }
    added = {
        number: token.content
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special or token.content in template or _MARKER.fullmatch(token.content)
    }
    special = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    ids = {int(number): str(text) for number, text in (added | special).items()}
    texts = {*ids.values(), *in_template} - {""}
    leading = _ids_of(tokenizer, "bos", "cls")
    ending = {n for n in _ids_of(tokenizer, "eos", "sep") if ids.get(n) not in in_template}
    filling = {n for n in _ids_of(tokenizer, "pad", "unk", "mask") if ids.get(n) not in in_template}
    return ControlTokens(
        texts=frozenset(texts),
        ids=ids,
        leading=frozenset(leading),
        trailing=frozenset(ending),
        chat=frozenset(texts - {ids[n] for n in leading | ending | filling if n in ids}),
    )


def chat_templates(tokenizer: Any) -> dict[str, str]:
    """The chat templates of `tokenizer` by name; the only one is called ``default``."""
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        return {str(name): str(text) for name, text in found.items()}
    return {"default": str(found)} if found is not None else {}


def _ids_of(tokenizer: Any, *roles: str) -> set[int]:
    numbers = (getattr(tokenizer, f"{role}_token_id", None) for role in roles)
    return {int(number) for number in numbers if number is not None}
