"""Lineage: what was made from what, by which run.

    graph = build_graph(store)
    ancestors(graph, "model:v3")                  # everything it was made from, nearest first
    print(render(graph, "model:v3", "text", "up"))

Nothing is written by hand: the graph is read from the store, whose versions know their parents and
whose runs know what they used and made.
"""

from instrument.lineage.export import DIRECTIONS, FORMATS, render
from instrument.lineage.graph import Edge, Graph, Node, build_graph
from instrument.lineage.tracker import LineageTracker
from instrument.lineage.validation import validate
from instrument.lineage.walks import ancestors, cycles, descendants, path

__all__ = [
    "DIRECTIONS",
    "FORMATS",
    "Edge",
    "Graph",
    "LineageTracker",
    "Node",
    "ancestors",
    "build_graph",
    "cycles",
    "descendants",
    "path",
    "render",
    "validate",
]
