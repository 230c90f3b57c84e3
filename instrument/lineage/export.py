"""Lineage in the formats of others: JSON, Graphviz DOT, Mermaid; and as text."""

from typing import Final

import msgspec

from instrument.errors import UsageError
from instrument.lineage.graph import Graph, Node
from instrument.lineage.text import as_text, label
from instrument.lineage.walks import ancestors, descendants, results, sources

DIRECTIONS: Final = ("up", "down", "both")
FORMATS: Final = ("text", "json", "dot", "mermaid")


def render(
    graph: Graph,
    node_id: str,
    format: str = "text",  # noqa: A002 - the option's name
    direction: str = "both",
    max_depth: int | None = None,
) -> str:
    """The lineage of one artifact version or run; every format tells the same edges.

    Args:
        graph: All of the lineage.
        node_id: ``name:vN`` or the id of a run.
        format: One of `FORMATS`.
        direction: ``up`` (what it came from), ``down`` (what came of it) or ``both``.
        max_depth: Most steps to go; None for all.

    Raises:
        NotFoundError: There is no such node.
        UsageError: The format or the direction is unknown.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is unknown; use one of {', '.join(FORMATS)}")
    if direction not in DIRECTIONS:
        raise UsageError(f"direction {direction!r} is unknown; use one of {', '.join(DIRECTIONS)}")
    part = _lineage(graph, node_id, direction, max_depth)
    match format:
        case "text":
            return as_text(part, node_id, direction)
        case "json":
            return as_json(part, node_id, direction)
        case "dot":
            return as_dot(part, node_id)
        case _:
            return as_mermaid(part, node_id)


def _lineage(graph: Graph, root: str, direction: str, max_depth: int | None) -> Graph:
    """What is near `root`, with the edges of the walks to there and all derivations."""
    up = [root, *ancestors(graph, root, max_depth)] if direction != "down" else []
    down = [root, *descendants(graph, root, max_depth)] if direction != "up" else []
    step_up, step_down = sources(graph, root), results(graph, root)
    walked = {(source, target) for target in up for source in step_up(target)}
    walked |= {(source, target) for source in down for target in step_down(source)}
    near = graph.part(dict.fromkeys([*up, *down]))
    return near.only(lambda edge: edge.kind == "derived" or edge[:2] in walked)


def as_json(graph: Graph, root: str, direction: str) -> str:
    """One object: ``root``, ``direction``, ``nodes`` and ``edges``, every one of them."""
    edges = [edge._asdict() for edge in graph.edges()]
    whole = {"root": root, "direction": direction, "nodes": list(graph.nodes), "edges": edges}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"


def as_dot(graph: Graph, root: str | None = None) -> str:
    """A digraph for Graphviz; artifacts are boxes, runs ellipses, what is missing is dashed."""
    lines = ["digraph lineage {", "  rankdir=LR;"]
    for node in graph.nodes:
        styles = ["bold"] * (node.id == root) + ["dashed"] * (not node.known)
        shape = "ellipse" if node.kind == "run" else "box"
        style = f', style="{",".join(styles)}"' if styles else ""
        lines.append(f"  {_dot(node.id)} [label={_dot(label(node))}, shape={shape}{style}];")
    for source, target, kind in graph.edges():
        lines.append(f"  {_dot(source)} -> {_dot(target)} [label={_dot(kind)}];")
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(graph: Graph, root: str | None = None) -> str:
    """A flowchart for Mermaid; artifacts are boxes, runs are rounded."""
    names = {node_id: f"n{index}" for index, node_id in enumerate(graph)}
    lines = ["flowchart LR"]
    lines += [f"  {names[node.id]}{_mermaid_shape(node)}" for node in graph.nodes]
    for source, target, kind in graph.edges():
        lines.append(f"  {names[source]} -->|{kind}| {names[target]}")
    if root is not None:
        lines.append(f"  style {names[root]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _dot(text: str) -> str:
    """A quoted string of DOT."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _mermaid_shape(node: Node) -> str:
    """The label in its shape; what is not plain becomes an entity code, ``#35;`` for ``#``."""
    text = "".join(
        character if character.isalnum() or character in " ._-:+" else f"#{ord(character)};"
        for character in label(node)
    )
    return f'(["{text}"])' if node.kind == "run" else f'["{text}"]'
