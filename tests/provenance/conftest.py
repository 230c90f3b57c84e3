"""Models that are made once for all tests of this room."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories of models: ``llama`` with a BOS, ``gpt2``, ``chat``, ``talker``, ``sneaking``."""
    from provenance import small_models as made

    root = tmp_path_factory.mktemp("clean")
    plain, chat = made.bpe(bos="<s>"), made.bpe(*made.CHAT, bos="<s>")
    chat.chat_template = made.TEMPLATE
    gpt2, sneaking = made.bpe(), made.sneaking()
    made.saved(root / "llama", made.llama(plain), plain)
    made.saved(root / "gpt2", made.gpt2(gpt2), gpt2)
    made.saved(root / "chat", made.llama(chat), chat)
    made.saved(root / "talker", made.always(chat, made.END), chat)
    made.saved(root / "sneaking", made.llama(sneaking), sneaking)
    return root
