"""The lineage graph: artifact versions and runs, and how one led to the other.

Edges point the way things flowed: an artifact to the run that *used* it, a run to the artifact that
it *made* or, when the content was there already, *logged again*, an artifact to the one that was
*derived* from it. A run can make something and use it too: only derivations never lead in a circle.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from instrument.errors import NotFoundError
from instrument.protocols import Store
from instrument.protocols.upkeep import HasUpkeep
from instrument.summary import RunSummary
from instrument.summary.parentage import made_from
from instrument.vocabulary import ArtifactVersion

NodeKind: TypeAlias = Literal["artifact", "run"]
ELSEWHERE: Final = "ELSEWHERE"
"""State of a run that is in another store: a bundle brought what it made, and came without it."""
EdgeKind: TypeAlias = Literal["used", "made", "logged again", "derived"]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact version or a run.

    Attributes:
        id: ``name:vN``, or the id of the run.
        kind: ``artifact`` or ``run``.
        type: Type of the artifact; None for a run.
        name: Name of the artifact, or what the user calls the run.
        state: State of the run, ``DELETED``, or ``ELSEWHERE``: in the store that a bundle came
            from. None for an artifact.
        maker: The run that logged the artifact first; None when that is not known.
        known: False for what is referred to and is not in the store.
    """

    id: str
    kind: NodeKind
    type: str | None = None
    name: str = ""
    state: str | None = None
    maker: str | None = None
    known: bool = True


class Edge(NamedTuple):
    """One step of lineage.

    Attributes:
        source: Id of what came first.
        target: Id of what came of it.
        kind: ``used``, ``made``, ``logged again`` or ``derived``.
    """

    source: str
    target: str
    kind: EdgeKind


class Graph:
    """Nodes by id, in the order they were added, and the edges between them."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._before: dict[str, dict[str, None]] = {}
        self._after: dict[str, dict[str, None]] = {}

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    @property
    def nodes(self) -> Collection[Node]:
        """All nodes."""
        return self._nodes.values()

    def node(self, node_id: str) -> Node:
        """The node with that id.

        Raises:
            NotFoundError: There is none.
        """
        if node_id not in self._nodes:
            raise NotFoundError(f"there is no {node_id!r} in the lineage; give name:vN or a run id")
        return self._nodes[node_id]

    def before(self, node_id: str) -> Collection[str]:
        """Ids of the direct sources of a node."""
        return self._before[node_id].keys()

    def after(self, node_id: str) -> Collection[str]:
        """Ids of what came directly of a node."""
        return self._after[node_id].keys()

    def edges(self) -> Iterator[Edge]:
        """All edges, each once; those into one node in the order they were added."""
        for target, sources in self._before.items():
            for source in sources:
                yield self.edge(source, target)

    def edge(self, source: str, target: str) -> Edge:
        """The edge from `source` to `target`, which is there."""
        before, after = self._nodes[source], self._nodes[target]
        if after.kind == "run":
            return Edge(source, target, "used")
        if before.kind == "artifact":
            return Edge(source, target, "derived")
        return Edge(source, target, "made" if after.maker in {None, source} else "logged again")

    def add(self, node: Node) -> None:
        """Add a node, or say what one that was only referred to is."""
        self._nodes[node.id] = node
        self._before.setdefault(node.id, {})
        self._after.setdefault(node.id, {})

    def refer(self, node_id: str, kind: NodeKind) -> str:
        """`node_id`, added as not known unless it is there."""
        if node_id not in self._nodes:
            self.add(Node(id=node_id, kind=kind, known=False))
        return node_id

    def connect(self, source: str, target: str) -> None:
        """Add an edge between two nodes of the graph. Idempotent."""
        self._after[source][target] = None
        self._before[target][source] = None

    def disconnect(self, source: str, target: str) -> None:
        """Take out the edge between two nodes, which is there."""
        del self._after[source][target], self._before[target][source]

    def part(self, node_ids: Iterable[str]) -> "Graph":
        """The graph of these nodes only, and of the edges among them."""
        kept = dict.fromkeys(node_ids)
        part = Graph()
        for node_id in kept:
            part.add(self.node(node_id))
            part._before[node_id] = {other: None for other in self.before(node_id) if other in kept}
            part._after[node_id] = {other: None for other in self.after(node_id) if other in kept}
        return part

    def only(self, keep: Callable[[Edge], bool]) -> "Graph":
        """The graph with those of its edges that are to be kept."""
        kept = self.part(self)
        for edge in self.edges():
            if not keep(edge):
                kept.disconnect(edge.source, edge.target)
        return kept

    def derivations(self) -> "Graph":
        """The graph of the artifacts only: which was derived from which."""
        return self.part(node.id for node in self.nodes if node.kind == "artifact")


def build_graph(store: Store) -> Graph:
    """The lineage of everything in `store`.

    A run has an edge from all that it used and to all that it made; a version that it both made and
    used has both edges. A version was derived from what any of the runs that logged it made it from
    (but for what was itself derived from the version, in a run that logs it again).
    """
    graph = Graph()
    versions, runs = list(store.artifacts()), store.runs()
    for each in versions:
        ref, maker = each.ref, each.run_id
        graph.add(Node(id=ref, kind="artifact", type=each.type, name=each.name, maker=maker))
    for ref, parents in made_from(versions, runs).items():
        for parent in parents:
            graph.connect(graph.refer(parent, "artifact"), graph.refer(ref, "artifact"))
    for each in versions:
        if each.run_id is not None:
            graph.connect(graph.refer(each.run_id, "run"), each.ref)
    for run in runs:
        _add_run(graph, run)
    _add_absent_runs(graph, store, versions)
    return graph


def _add_absent_runs(graph: Graph, store: Store, versions: Iterable[ArtifactVersion]) -> None:
    """Runs are known, although not here, that were removed on purpose, or stayed elsewhere."""
    missing = {node.id for node in graph.nodes if node.kind == "run" and not node.known}
    here = {each.run_id for each in versions if each.home is None}
    states = dict.fromkeys(missing - here, ELSEWHERE)
    if missing and isinstance(store, HasUpkeep):
        states |= dict.fromkeys(store.upkeep.dropped_runs().keys() & missing, "DELETED")
    for run_id, state in states.items():
        graph.add(Node(id=run_id, kind="run", state=state))


def _add_run(graph: Graph, run: RunSummary) -> None:
    graph.add(Node(id=run.id, kind="run", name=run.name, state=str(run.state)))
    for ref in run.inputs:
        graph.connect(graph.refer(ref, "artifact"), run.id)
    for ref in run.outputs:
        graph.connect(run.id, graph.refer(ref, "artifact"))
