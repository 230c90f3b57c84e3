"""A tokenizer that cannot apply a chat template, however it is asked."""

from typing import Any

from instrument.errors import UsageError


class TemplateDisabledError(UsageError):
    """A chat template was to be applied with a tokenizer that was loaded to do without."""


def disable_template(tokenizer: Any) -> None:
    """Take the chat templates from `tokenizer`; copies and pickles of it have none either.

    Nothing else is touched: neither its class nor any other tokenizer.
    """
    tokenizer.chat_template = None
    tokenizer.apply_chat_template = _refuse


def template_is_disabled(tokenizer: Any) -> bool:
    """Whether `tokenizer` was seen to refuse, with its own template and with one it is given."""
    return all(
        _refuses(tokenizer, **given)
        for given in ({}, {"chat_template": "{{ messages[0]['content'] }}"})
    )


def _refuses(tokenizer: Any, **given: str) -> bool:
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, **given)
    except TemplateDisabledError:
        return True
    except Exception:
        return False  # it failed for another reason; it may not the next time
    return False


def _refuse(*_: Any, **__: Any) -> None:
    raise TemplateDisabledError(
        "this tokenizer was loaded by CleanModelLoader, which is for use without chat templates; "
        "load it with transformers.AutoTokenizer to apply one"
    )
