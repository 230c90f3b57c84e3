"""The graph of a store, and ways through it."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from instrument.errors import NotFoundError
from instrument.lineage import (
    Graph,
    ancestors,
    cycles,
    descendants,
    path,
)
from instrument.lineage.walks import components, levels

nx = pytest.importorskip("networkx")  # comes with torch

NAMES = st.sampled_from("abcdefghij")
EDGES = st.lists(st.tuples(NAMES, NAMES), max_size=30)


def graph_of(edges: Iterable[tuple[str, str]]) -> Graph:
    graph = Graph()
    for source, target in edges:
        graph.connect(graph.refer(source, "artifact"), graph.refer(target, "artifact"))
    return graph


def chain(length: int) -> Graph:
    return graph_of((f"n{i}", f"n{i + 1}") for i in range(length))


@given(EDGES)
def test_every_walk_agrees_with_networkx(edges: list[tuple[str, str]]) -> None:
    graph, reference = graph_of(edges), nx.DiGraph(edges)
    assert {edge[:2] for edge in graph.edges()} == set(reference.edges)
    for node in graph:
        below = nx.single_source_shortest_path_length(reference, node)
        above = nx.single_source_shortest_path_length(reference.reverse(), node)
        del below[node], above[node]
        assert descendants(graph, node) == below
        assert ancestors(graph, node) == above
        assert descendants(graph, node, 2) == {n: d for n, d in below.items() if d <= 2}
        for other in graph:
            way = path(graph, node, other)
            assert len(way) == (below[other] + 1 if other in below else node == other)
            assert all(step in reference.edges for step in itertools.pairwise(way))
    islands = {frozenset(island) for island in components(graph)}
    assert islands == {frozenset(part) for part in nx.weakly_connected_components(reference)}


@given(EDGES)
def test_cycles_are_found_exactly_where_there_are_some(edges: list[tuple[str, str]]) -> None:
    graph, reference = graph_of(edges), nx.DiGraph(edges)
    found = cycles(graph)
    for cycle in found:
        assert all(
            reference.has_edge(*step) for step in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        )
        assert len(set(cycle)) == len(cycle)
    knots = [
        knot
        for knot in nx.strongly_connected_components(reference)
        if len(knot) > 1 or any(reference.has_edge(node, node) for node in knot)
    ]
    assert len(found) == len(knots)
    if not knots:
        longest = nx.dag_longest_path_length(reference) if edges else 0
        assert max(levels(graph).values(), default=0) == longest


def test_nearest_come_first() -> None:
    graph = graph_of([("a", "b"), ("b", "c"), ("x", "c"), ("a", "x")])
    assert list(ancestors(graph, "c").items()) == [("b", 1), ("x", 1), ("a", 2)]


def test_a_chain_of_100_000_is_walked() -> None:
    graph = chain(100_000)
    assert len(ancestors(graph, "n100000")) == 100_000
    assert ancestors(graph, "n100000", 3) == {"n99999": 1, "n99998": 2, "n99997": 3}
    assert descendants(graph, "n0")["n100000"] == 100_000
    assert len(path(graph, "n0", "n100000")) == 100_001
    assert cycles(graph) == []
    assert levels(graph)["n100000"] == 100_000
    graph.connect("n100000", "n0")
    assert [len(cycle) for cycle in cycles(graph)] == [100_001]


def test_what_is_not_there_is_said() -> None:
    graph = chain(2)
    for call in (
        lambda: ancestors(graph, "x"),
        lambda: path(graph, "n0", "x"),
        lambda: path(graph, "x", "n0"),
        lambda: graph.part(["x"]),
    ):
        with pytest.raises(NotFoundError, match="'x'"):
            call()
