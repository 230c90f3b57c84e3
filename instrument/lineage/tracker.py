"""`LineageTracker`: the lineage of artifacts, from a store, from a file, or told by hand."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from instrument import registry, settings
from instrument.clock import SystemClock
from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.lineage.export import as_dot, as_mermaid
from instrument.lineage.graph import Graph, Node, build_graph
from instrument.lineage.validation import validate
from instrument.lineage.walks import ancestors, cycles, descendants, path
from instrument.protocols import Store


class _Saved(msgspec.Struct, kw_only=True):
    """The file that `LineageTracker.save` writes."""

    format: str = "instrument-lineage-1"
    nodes: list[Node]
    edges: list[tuple[str, str]]


class LineageTracker:
    """Which artifact came from which. ``LineageTracker.from_store()`` knows all a store knows."""

    def __init__(self) -> None:
        self._graph = Graph()
        self._artifacts: Graph | None = None

    @classmethod
    def from_store(cls, store: Store | None = None) -> Self:
        """The lineage of everything in `store`, by default in the store that the settings name."""
        tracker = cls()
        if store is None:
            store = registry.open_store("local", settings.resolve().store, SystemClock())
        tracker._graph = build_graph(store)
        return tracker

    @property
    def graph(self) -> Graph:
        """The graph, runs included."""
        return self._graph

    def add_artifact(
        self,
        artifact_id: str,
        type: str = "other",  # noqa: A002 - the field's name
        *,
        parents: Iterable[str] = (),
        run_id: str | None = None,
    ) -> None:
        """Tell of an artifact; its parents may be told of later.

        Args:
            artifact_id: Its id, such as ``name:vN``.
            type: Its type.
            parents: Ids of what it was made from.
            run_id: The run that made it.

        Raises:
            UsageError: A run has that id, or `parents` is one text.
        """
        if isinstance(parents, str):
            raise UsageError(f"parents is the text {parents!r:.80}; give a list of ids")
        self._artifacts = None
        graph = self._graph
        if artifact_id in graph and graph.node(artifact_id).kind == "run":
            raise UsageError(f"{artifact_id!r} is a run; give the artifact another id")
        graph.add(Node(id=artifact_id, kind="artifact", type=type, name=artifact_id))
        for parent in parents:
            graph.connect(graph.refer(parent, "artifact"), artifact_id)
        if run_id is not None:
            graph.add(Node(id=run_id, kind="run"))
            graph.connect(run_id, artifact_id)

    def get_ancestors(self, artifact_id: str, max_depth: int | None = None) -> list[str]:
        """Ids of what an artifact was derived from, nearest first.

        Args:
            artifact_id: The artifact.
            max_depth: Most derivations to go back; None for all.

        Raises:
            NotFoundError: There is no such artifact.
        """
        return list(ancestors(self._derivations(artifact_id), artifact_id, max_depth))

    def get_descendants(self, artifact_id: str, max_depth: int | None = None) -> list[str]:
        """Ids of what was derived from an artifact; as `get_ancestors`."""
        return list(descendants(self._derivations(artifact_id), artifact_id, max_depth))

    def get_lineage_path(self, source: str, target: str) -> list[str]:
        """A shortest chain of derivations from `source` to `target`; empty when there is none."""
        return path(self._derivations(source, target), source, target)

    def get_run_lineage(self, run_id: str) -> dict[str, Any]:
        """``run_id``, and the ids of the artifacts that the run used and made.

        Where nobody recorded what the run used, ``inputs`` are the parents of what it made.

        Raises:
            NotFoundError: There is no such run.
        """
        if run_id not in self._graph or self._graph.node(run_id).kind != "run":
            raise NotFoundError(f"there is no run {run_id!r} in the lineage")
        outputs = list(self._graph.after(run_id))
        parents = dict.fromkeys(
            parent
            for output in outputs
            for parent in self._graph.before(output)
            if self._graph.node(parent).kind == "artifact" and parent not in outputs
        )
        inputs = list(self._graph.before(run_id)) or list(parents)
        return {"run_id": run_id, "inputs": inputs, "outputs": outputs}

    def detect_cycles(self) -> list[list[str]]:
        """Cycles of derivations: one for each group of artifacts that are tied in a knot."""
        return cycles(self._derivations())

    def validate_lineage(self) -> dict[str, Any]:
        """See `instrument.lineage.validate`."""
        return validate(self._graph)

    def export_to_dot(self, output: str | Path | None = None) -> str:
        """The whole lineage for Graphviz; also written to the file `output` if given."""
        return _written(as_dot(self._graph), output)

    def export_to_mermaid(self, output: str | Path | None = None) -> str:
        """The whole lineage for Mermaid; also written to the file `output` if given."""
        return _written(as_mermaid(self._graph), output)

    def save(self, output: str | Path) -> Path:
        """Write everything to a JSON file, whole or not at all.

        Raises:
            StoreError: It cannot be written.
        """
        edges = [(edge.source, edge.target) for edge in self._graph.edges()]
        saved = _Saved(nodes=list(self._graph.nodes), edges=edges)
        _written(msgspec.json.encode(saved).decode() + "\n", output)
        return Path(output)

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Inverse of `save`.

        Raises:
            NotFoundError: There is no such file.
            UsageError: It is none that `save` wrote.
        """
        try:
            saved = msgspec.json.decode(Path(source).read_bytes(), type=_Saved)
        except FileNotFoundError:
            raise NotFoundError(f"{source} does not exist") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(f"{source} is no saved lineage: {error}") from None
        tracker = cls()
        for node in saved.nodes:
            tracker._graph.add(node)
        for before, after in saved.edges:
            if before not in tracker._graph or after not in tracker._graph:
                raise UsageError(f"{source} is no saved lineage: {before} or {after} is no node")
            tracker._graph.connect(before, after)
        return tracker

    def _derivations(self, *artifact_ids: str) -> Graph:
        """The artifacts alone, with `artifact_ids` among them."""
        for artifact_id in artifact_ids:
            if self._graph.node(artifact_id).kind != "artifact":
                raise NotFoundError(f"{artifact_id!r} is a run; see get_run_lineage")
        if self._artifacts is None:
            self._artifacts = self._graph.derivations()
        return self._artifacts


def _written(text: str, output: str | Path | None) -> str:
    """`text`, written to the file `output`, whole or not at all."""
    if output is None:
        return text
    target = Path(output)
    try:
        with tempfile.TemporaryDirectory(prefix=".instrument-", dir=target.parent) as scratch:
            made = Path(scratch, "content")
            made.write_text(text, encoding="utf-8")
            made.replace(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
    return text
