"""Lineage as a tree of text, for people."""

from collections.abc import Iterator
from typing import Final

from instrument.lineage.graph import Graph, Node
from instrument.lineage.walks import Step

MAX_DEPTH: Final = 64


def as_text(graph: Graph, root: str, direction: str) -> str:
    """The tree below `root`: what it came from, what came of it, or both.

    What is met twice is drawn once and named again; chains are cut at `MAX_DEPTH`.
    """
    drawn = graph.without_shortcuts()
    lines = [label(graph.node(root))]
    up = [] if direction == "down" else list(_branches(drawn, root, drawn.before))
    down = [] if direction == "up" else list(_branches(drawn, root, drawn.after))
    if direction != "both":
        return "\n".join([*lines, *up, *down]) + "\n"
    if up:
        lines += [f"{'├' if down else '└'}── came from"]
        lines += [f"{'│   ' if down else '    '}{line}" for line in up]
    if down:
        lines += ["└── led to", *(f"    {line}" for line in down)]
    return "\n".join(lines) + "\n"


def label(node: Node) -> str:
    """A node on one line, without control characters."""
    words = [f"run {node.id}" if node.kind == "run" else node.id]
    words += [word for word in (node.type, node.name * (node.kind == "run"), node.state) if word]
    words += ["(not in the store)"] * (not node.known)
    return visible("  ".join(words))


def visible(text: str) -> str:
    """`text` with what cannot be shown, such as control characters, replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _branches(graph: Graph, root: str, step: Step) -> Iterator[str]:
    """The lines below `root`, depth first; `waiting` holds what is to be drawn, last first."""
    seen = {root}
    waiting = _children(root, step, "", 1)
    while waiting:
        node_id, prefix, last, depth = waiting.pop()
        again = node_id in seen and bool(step(node_id))
        cut = depth == MAX_DEPTH and bool(step(node_id)) and not again
        note = "  (see above)" if again else "  (goes on; --format json shows all)" if cut else ""
        yield f"{prefix}{'└── ' if last else '├── '}{label(graph.node(node_id))}{note}"
        if not again and not cut:
            seen.add(node_id)
            waiting += _children(node_id, step, prefix + ("    " if last else "│   "), depth + 1)


def _children(
    node_id: str, step: Step, prefix: str, depth: int
) -> list[tuple[str, str, bool, int]]:
    """What to draw below a node, the last one first, as a stack wants it."""
    children = list(step(node_id))
    return [
        (child, prefix, index == len(children) - 1, depth) for index, child in enumerate(children)
    ][::-1]
