"""Lineage as a tree of text, for people."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from instrument.lineage.graph import Edge, Graph, Node
from instrument.lineage.walks import Step, ancestors, descendants, results, sources

MAX_DEPTH: Final = 64


def as_text(graph: Graph, root: str, direction: str) -> str:
    """The tree below `root`: what it came from, what came of it, or both.

    What is met twice is drawn once and named again; chains are cut at `MAX_DEPTH`. The edges that
    lead past `root`, from what it came from to what came of it, are listed at the end.
    """
    title = label(graph.node(root))
    if direction != "both":
        return "\n".join([title, *_branches(graph, root, up=direction == "up")]) + "\n"
    sections = {
        "came from": list(_branches(graph, root, up=True)),
        "led to": list(_branches(graph, root, up=False)),
        "besides": list(_past(graph, root)),
    }
    filled = [(heading, lines) for heading, lines in sections.items() if lines]
    drawn = [title]
    for number, (heading, lines) in enumerate(filled, start=1):
        last = number == len(filled)
        drawn.append(f"{_branch(last)}{heading}")
        drawn += [f"{_below(last)}{line}" for line in lines]
    return "\n".join(drawn) + "\n"


def label(node: Node) -> str:
    """A node on one line, without control characters."""
    words = [f"run {node.id}" if node.kind == "run" else node.id]
    words += [word for word in (node.type, node.name * (node.kind == "run"), node.state) if word]
    words += ["(not in the store)"] * (not node.known)
    return visible("  ".join(words))


def visible(text: str) -> str:
    """`text` with what cannot be shown, such as control characters, replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


class _Twig(NamedTuple):
    """A node that waits to be drawn below another."""

    node_id: str
    edge: Edge
    prefix: str
    last: bool
    depth: int


def _branches(graph: Graph, root: str, *, up: bool) -> Iterator[str]:
    """The lines below `root`, depth first; `waiting` holds what is to be drawn, last first."""
    step = sources(graph, root) if up else results(graph, root)
    seen = {root}
    waiting = _twigs(graph, root, step, "", 1, up=up)
    while waiting:
        twig = waiting.pop()
        again = twig.node_id in seen and bool(step(twig.node_id))
        cut = twig.depth == MAX_DEPTH and bool(step(twig.node_id)) and not again
        note = "  (logged again)" if twig.edge.kind == "logged again" else ""
        note += "  (see above)" if again else "  (goes on; --format json shows all)" if cut else ""
        yield f"{twig.prefix}{_branch(twig.last)}{label(graph.node(twig.node_id))}{note}"
        if not again and not cut:
            seen.add(twig.node_id)
            below = twig.prefix + _below(twig.last)
            waiting += _twigs(graph, twig.node_id, step, below, twig.depth + 1, up=up)


def _twigs(  # noqa: PLR0913 - where the node stands
    graph: Graph, node_id: str, step: Step, prefix: str, depth: int, *, up: bool
) -> list[_Twig]:
    """What to draw below a node, the last one first, as a stack wants it."""
    near = list(step(node_id))
    edges = [graph.edge(*((other, node_id) if up else (node_id, other))) for other in near]
    return [
        _Twig(other, edge, prefix, index == len(near) - 1, depth)
        for index, (other, edge) in enumerate(zip(near, edges, strict=True))
    ][::-1]


def _past(graph: Graph, root: str) -> Iterator[str]:
    """The derivations that are in neither of the two trees."""
    up = {root, *ancestors(graph, root)}
    down = {root, *descendants(graph, root)}
    edges = [
        edge
        for edge in graph.edges()
        if edge.kind == "derived" and edge.target not in up and edge.source not in down
    ]
    for index, (source, target, kind) in enumerate(edges):
        yield f"{_branch(index == len(edges) - 1)}{visible(f'{source} → {target}  ({kind})')}"


def _branch(last: bool) -> str:
    return "└── " if last else "├── "


def _below(last: bool) -> str:
    return "    " if last else "│   "
