"""``instrument lineage``: what came from what."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from instrument.cli.opening import Options, find_subject, open_store
from instrument.cli.output import emit, emit_json, facts, section, show, table, text
from instrument.cli.words import count, listed, safe_json, visible
from instrument.summary import RunSummary

VALIDATE: Final = "validate"
_MOST_MISSING: Final = 20


@click.command()
@click.argument("ref", metavar="REF|RUN|validate")
@click.option("--up", is_flag=True, help="Only what it came from.")
@click.option("--down", is_flag=True, help="Only what came of it.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "dot", "mermaid"]),
    default="text",
    show_default=True,
    help="A tree of text, one JSON object, or a drawing for Graphviz or Mermaid.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
def lineage(  # noqa: PLR0913 - one parameter for each option
    options: Options, ref: str, up: bool, down: bool, form: str, as_json: bool
) -> int:
    """Show what an artifact or a run came from, and what came of it.

    `instrument lineage validate` checks the lineage of the whole store, and exits with 1 when
    something refers to what is not there, or to itself. (An artifact of that name is
    `validate:latest`.)
    """
    from instrument.lineage import build_graph, render

    store = open_store(options)
    form = "json" if as_json else form
    if ref == VALIDATE:
        return _validate(build_graph(store), as_json=form == "json")
    subject = find_subject(store, ref)
    direction = "both" if up == down else "up" if up else "down"
    subject_id = subject.id if isinstance(subject, RunSummary) else subject.ref
    drawn = render(build_graph(store), subject_id, form, direction).rstrip("\n")
    emit(safe_json(drawn) if form == "json" else drawn)
    return 0


def _validate(graph: Any, *, as_json: bool) -> int:
    """Check the lineage and tell; the exit code."""
    from instrument.lineage import validate

    verdict = validate(graph)
    if as_json:
        emit_json(verdict)
        return 0 if verdict["is_valid"] else 1
    stats = verdict["stats"]
    amount = f"{count(stats['total_artifacts'], 'artifact')}, {count(stats['total_edges'], 'edge')}"
    if verdict["is_valid"]:
        show(text(f"sound: {amount}", "green"))
    else:
        show(text(f"not sound: {amount}", "red"))
    if verdict["issues"]:
        show(
            table(["", "message"], [[each["type"], each["message"]] for each in verdict["issues"]])
        )
    for line in _missing(verdict["issues"]):
        emit(line)
    by_type = [(name, str(number)) for name, number in stats["artifacts_by_type"].items()]
    for part in section("artifacts by type", facts(by_type)) if by_type else ():
        show(part)
    return 0 if verdict["is_valid"] else 1


def _missing(issues: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is referred to and not there, by name, with what to do."""
    missing = [
        f"{visible(node['id'])} is not there; {listed(node['referenced_by'], most=3)} refers to it"
        for issue in issues
        if issue["type"] == "missing_references"
        for node in issue["details"]
    ]
    if not missing:
        return []
    more = [f"… and {len(missing) - _MOST_MISSING} more; --json shows all"]
    way_out = "`instrument repair --from PATH` brings back what another store has"
    return [*missing[:_MOST_MISSING], *(more if len(missing) > _MOST_MISSING else ()), way_out]
