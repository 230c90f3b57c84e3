"""Ways through a lineage graph: loops all of them, so that a chain of any length can be walked."""

from collections.abc import Callable, Collection

from instrument.lineage.graph import Graph

Step = Callable[[str], Collection[str]]


def ancestors(graph: Graph, node_id: str, max_depth: int | None = None) -> dict[str, int]:
    """What a node came from, with its distance in steps, nearest first.

    See `sources`: a run on the way is named, and not walked through.

    Args:
        graph: The graph.
        node_id: Where to start; not part of the result.
        max_depth: Most steps to take; None for all.

    Raises:
        NotFoundError: There is no such node.
    """
    return _reach(graph.node(node_id).id, sources(graph, node_id), max_depth)


def descendants(graph: Graph, node_id: str, max_depth: int | None = None) -> dict[str, int]:
    """What came of a node; as `ancestors`."""
    return _reach(graph.node(node_id).id, results(graph, node_id), max_depth)


def sources(graph: Graph, start: str) -> Step:
    """The step up in a walk from `start`: to what a version was derived from, and to its runs.

    A run that is met on the way made the version, and says no more: what else it used may have been
    used later, or for another version. A walk that starts at a run begins with all that it used.
    """
    return lambda node_id: () if _ends(graph, start, node_id) else graph.before(node_id)


def results(graph: Graph, start: str) -> Step:
    """The step down: to what was derived from a version, and to the runs that used it."""
    return lambda node_id: () if _ends(graph, start, node_id) else graph.after(node_id)


def _ends(graph: Graph, start: str, node_id: str) -> bool:
    return node_id != start and graph.node(node_id).kind == "run"


def path(graph: Graph, source: str, target: str) -> list[str]:
    """A shortest way from `source` to `target` along the edges, both included; empty if none is.

    Raises:
        NotFoundError: One of them is not in the graph.
    """
    goal = graph.node(target).id
    came_from = {graph.node(source).id: ""}
    for node_id in (waiting := [source]):
        if node_id == goal:
            return _backwards(came_from, goal)
        for following in graph.after(node_id):
            if following not in came_from:
                came_from[following] = node_id
                waiting.append(following)
    return []


def levels(graph: Graph) -> dict[str, int]:
    """For each node the length of the longest way to it; none for nodes on or after a cycle."""
    missing = {node_id: len(graph.before(node_id)) for node_id in graph}
    level = {node_id: 0 for node_id, count in missing.items() if not count}
    for node_id in (ready := list(level)):
        for following in graph.after(node_id):
            missing[following] -= 1
            if not missing[following]:
                level[following] = 1 + max(level[source] for source in graph.before(following))
                ready.append(following)
    return level


def cycles(graph: Graph) -> list[list[str]]:
    """One shortest cycle out of each knot of nodes that lead back to themselves.

    Each cycle is the list of its nodes in the direction of the edges, starting with the first by
    spelling among the knot's nodes that were found.
    """
    free = levels(graph)
    if len(free) == len(graph):
        return []
    tied = graph.part(node_id for node_id in graph if node_id not in free)
    found = (_cycle_in(tied, knot) for knot in _knots(tied))
    return [cycle for cycle in found if cycle]


def components(graph: Graph) -> list[list[str]]:
    """The islands of the graph: nodes that are connected, whatever the direction."""
    seen: set[str] = set()
    found = []
    for start in graph:
        if start in seen:
            continue
        seen.add(start)
        for node_id in (island := [start]):
            for next_to in (*graph.before(node_id), *graph.after(node_id)):
                if next_to not in seen:
                    seen.add(next_to)
                    island.append(next_to)
        found.append(island)
    return found


def _reach(start: str, step: Step, max_depth: int | None) -> dict[str, int]:
    depths = {start: 0}
    for node_id in (waiting := [start]):
        depth = depths[node_id] + 1
        if max_depth is not None and depth > max_depth:
            break
        for following in step(node_id):
            if following not in depths:
                depths[following] = depth
                waiting.append(following)
    del depths[start]
    return depths


def _backwards(came_from: dict[str, str], goal: str) -> list[str]:
    way = [goal]
    while came_from[way[-1]]:
        way.append(came_from[way[-1]])
    return way[::-1]


def _knots(graph: Graph) -> list[set[str]]:
    """The strongly connected components, by two depth-first walks (Kosaraju, Sharir)."""
    assigned: set[str] = set()
    knots = []
    for root in reversed(_finishing_order(graph)):
        if root in assigned:
            continue
        assigned.add(root)
        for node_id in (knot := [root]):
            for source in graph.before(node_id):
                if source not in assigned:
                    assigned.add(source)
                    knot.append(source)
        knots.append(set(knot))
    return knots


def _finishing_order(graph: Graph) -> list[str]:
    """The nodes in the order in which a depth-first walk is done with them."""
    seen: set[str] = set()
    order = []
    for root in graph:
        stack = [(root, iter(graph.after(root)))] if root not in seen else []
        seen.add(root)
        while stack:
            node_id, unvisited = stack[-1]
            following = next((target for target in unvisited if target not in seen), None)
            if following is None:
                order.append(node_id)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(graph.after(following))))
    return order


def _cycle_in(graph: Graph, knot: set[str]) -> list[str]:
    """A shortest cycle through the first node of `knot`; none where it is a node by itself."""
    start = min(knot)
    came_from: dict[str, str] = {}
    for node_id in (waiting := [start]):
        for following in graph.after(node_id):
            if following == start:
                return _backwards({**came_from, start: ""}, node_id)
            if following in knot and following not in came_from:
                came_from[following] = node_id
                waiting.append(following)
    return []
