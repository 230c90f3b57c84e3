"""Is the lineage sound?"""

from collections import Counter
from typing import Any, Final

from instrument.lineage.graph import ELSEWHERE, Graph
from instrument.lineage.walks import components, cycles, levels

_NOUNS: Final = {
    "cycles": "cycle",
    "missing_references": "node",
    "orphaned": "artifact",
    "runs_elsewhere": "run",
}


def validate(graph: Graph) -> dict[str, Any]:
    """Check a lineage graph.

    Returns:
        ``is_valid``: no cycle among derivations and no reference to what is not there.
        ``issues``: each with ``type``, ``message`` and ``details``. The types are ``cycles``,
        ``missing_references`` and, which are no errors, ``orphaned`` (artifacts that nothing is
        known about) and ``runs_elsewhere`` (a bundle brought what they made, and not them).
        ``stats``: ``total_artifacts``, ``total_edges`` (derivations), ``artifacts_by_type``,
        ``artifacts_by_run``, ``max_depth`` (longest chain of derivations; None when there is a
        cycle), ``connected_components`` (of the derivations).
    """
    derivations = graph.derivations()
    found = cycles(derivations)
    missing = _missing(graph)
    orphaned = [
        node.id
        for node in graph.nodes
        if node.kind == "artifact" and not graph.before(node.id) and not graph.after(node.id)
    ]
    elsewhere = [node.id for node in graph.nodes if node.state == ELSEWHERE]
    issues = [
        _issue("cycles", found, "of artifacts that were derived from themselves"),
        _issue("missing_references", missing, "referred to and not there"),
        _issue("orphaned", orphaned, "without parents, descendants or a run"),
        _issue("runs_elsewhere", elsewhere, "left in another store by a bundle"),
    ]
    return {
        "is_valid": not found and not missing,
        "issues": [issue for issue in issues if issue["details"]],
        "stats": _stats(graph, derivations, acyclic=not found),
    }


def _missing(graph: Graph) -> list[dict[str, Any]]:
    return [
        {
            "id": node.id,
            "kind": node.kind,
            "referenced_by": sorted({*graph.before(node.id), *graph.after(node.id)}),
        }
        for node in graph.nodes
        if not node.known
    ]


def _issue(kind: str, details: list[Any], what: str) -> dict[str, Any]:
    plural = "" if len(details) == 1 else "s"
    return {
        "type": kind,
        "message": f"{len(details)} {_NOUNS[kind]}{plural} {what}",
        "details": details,
    }


def _stats(graph: Graph, derivations: Graph, *, acyclic: bool) -> dict[str, Any]:
    known = [node for node in derivations.nodes if node.known]
    outputs = Counter(
        edge.source for edge in graph.edges() if edge.kind in {"made", "logged again"}
    )
    return {
        "total_artifacts": len(known),
        "total_edges": sum(1 for _ in derivations.edges()),
        "artifacts_by_type": dict(sorted(Counter(str(node.type) for node in known).items())),
        "artifacts_by_run": dict(sorted(outputs.items())),
        "max_depth": max(levels(derivations).values(), default=0) if acyclic else None,
        "connected_components": len(components(derivations)),
    }
