"""Real English text that ships with Python: the topics of its language reference (``help()``)."""

import hashlib
import json
import pydoc_data.topics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(str(pydoc_data.topics.__file__))
DOCUMENT_CHARACTERS = 800
HELD_OUT_PERCENT = 15


def documents() -> Iterator[dict[str, Any]]:
    """All text as documents of whole paragraphs, about `DOCUMENT_CHARACTERS` long.

    A document has an ``id``, its ``topic``, its ``text`` and its ``split``: ``train`` or
    ``held_out``, decided by its topic, so that no topic is on both sides.
    """
    for topic, text in sorted(pydoc_data.topics.topics.items()):
        for number, part in enumerate(_parts(text)):
            yield {"id": f"{topic}-{number}", "topic": topic, "split": _split(topic), "text": part}


def write_jsonl(rows: Iterable[dict[str, Any]], path: Path) -> Path:
    """Write one row a line; returns `path`."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a file written by `write_jsonl`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _parts(text: str) -> Iterator[str]:
    """`text` in groups of whole paragraphs."""
    group: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        group.append(paragraph.strip("\n"))
        if sum(map(len, group)) >= DOCUMENT_CHARACTERS:
            yield "\n\n".join(group)
            group = []
    if group:
        yield "\n\n".join(group)


def _split(topic: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(topic.encode()).digest()[:4], "big") % 100
    return "held_out" if bucket < HELD_OUT_PERCENT else "train"
