"""``instrument gc``: let go of what is not wanted any more."""

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, cast

import click
import msgspec

from instrument.cli.opening import Options, open_store
from instrument.cli.output import Cell, emit, emit_json, say, show, table
from instrument.cli.retention import policy, policy_from_table, seconds
from instrument.cli.why import why_option
from instrument.cli.words import ago, count, listed, size, visible
from instrument.errors import UsageError
from instrument.naming import LATEST
from instrument.protocols import Store
from instrument.protocols.upkeep import (
    CAPTURE,
    Drop,
    HasUpkeep,
    Keep,
    Plan,
    Policy,
    Scope,
)
from instrument.vocabulary import ArtifactVersion

_MOST_ROWS = 50
_WAYS = (
    "instrument gc --older-than 90d --keep tagged           old versions that nobody tagged",
    "instrument gc --type checkpoint --keep best=3:metrics.loss:min",
    "instrument gc --keep last=50                           what the newest 50 runs do not need",
    "instrument gc --unreferenced                           objects that nothing refers to",
)


@click.command()
@click.option("--keep", multiple=True, metavar="RULE", help="What stays: see above. Repeatable.")
@click.option("--older-than", metavar="AGE", help="Only what was made longer ago: 36h, 90d, 2w.")
@click.option("--type", "types", multiple=True, metavar="T", help="Only this type. Repeatable.")
@click.option("--where", metavar="EXPR", help="Only what runs made that meet it.")
@click.option("--keep-parents", is_flag=True, help="What stays keeps what it was made from.")
@click.option("--unreferenced", is_flag=True, help="Objects that nothing refers to, too.")
@click.option("--policies", is_flag=True, help="The policies of pyproject.toml.")
@why_option()
@click.option("--grace", metavar="AGE", help="Leave alone what is younger. [default: 24h]")
@click.option("--dry-run", is_flag=True, help="Only tell what would go, and why.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def gc(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    keep: tuple[str, ...],
    older_than: str | None,
    types: tuple[str, ...],
    where: str | None,
    keep_parents: bool,
    unreferenced: bool,
    policies: bool,
    why: str | None,
    grace: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove the bytes of versions that no rule keeps. Records, digests and lineage stay.

    Without rules nothing is removed. --type, --where and --older-than say what may go: of versions
    that a run made, or of the types that are named; `capture` is what was captured of runs
    themselves. Of these stays what a --keep rule names:

    \b
      last=N                  what the newest N runs made or used
      tagged                  what has an alias beside `latest`
      alias=NAME              what has this alias
      used                    what any run used
      best=N:metrics.M:min    the N with the lowest metric M (max: the highest)
      held                    what a hold forbids to remove, which else is an error

    An object goes only when nothing that stays refers to it. To log the same content again brings
    it back. What runs use that are recording now, and what is younger than a day, is left alone.
    """  # noqa: D301 - click's own mark
    opened = open_store(options, must_exist=True)
    if not isinstance(opened, HasUpkeep):
        raise UsageError(f"{opened.location} is kept by a backend that cannot collect")
    store = cast("_Kept", opened)
    chosen = _from_project() if policies else ()
    if keep or older_than or types or where or keep_parents:
        given = policy(
            types=types, keep=keep, where=where, older_than=older_than, keep_parents=keep_parents
        )
        chosen = (*chosen, given)
    scope = Scope(policies=chosen, unreferenced=unreferenced)
    if grace is not None:
        scope = msgspec.structs.replace(scope, grace_seconds=_grace(grace))
    if not (chosen or unreferenced):
        return _tell_what_there_is(store, as_json=as_json)
    return _collect(store, scope, why, _How(dry_run, yes, as_json))


def _grace(text: str) -> float:
    """How old an object must be to go; with none, what is being stored now may go too."""
    if text not in {"0", "0h"}:
        return seconds(text)
    say(
        "warning: without a grace period what another process is storing right now may go too; "
        "see that nobody records here"
    )
    return 0.0


class _Kept(Store, HasUpkeep, Protocol):
    """A store that does both."""


def _collect(store: _Kept, scope: Scope, why: str | None, how: "_How") -> int:
    if not (how.dry_run or how.yes or _can_ask()):
        raise UsageError("nobody is there to ask: give --yes to remove, or --dry-run to look")
    upkeep = store.upkeep
    plan = upkeep.plan(scope)
    _check_names(store, scope, only_tell=how.dry_run)
    if not (how.as_json or how.yes):
        _show(plan)
    if not how.dry_run and (plan.objects or plan.leftovers):
        if not how.yes:
            click.confirm(f"Remove {_amount(plan)}?", abort=True, err=True)
        from instrument.progress import Progress

        with Progress("removing", lambda: plan.size_bytes) as progress:
            plan = upkeep.collect(scope, why, progress.advance)
        say(f"removed {_amount(plan)}")
    elif how.yes and not (how.as_json or how.dry_run):
        young = f"; too young for --grace: {count(plan.young, 'object')}" if plan.young else ""
        say(f"nothing goes{young}")
    if how.as_json:
        emit_json({"dry_run": how.dry_run, **msgspec.to_builtins(plan)})
    return 0


def _check_names(store: _Kept, scope: Scope, *, only_tell: bool) -> None:
    """Who names a type, an alias or a metric means something by it.

    Raises:
        UsageError: A rule would keep what has an alias or a metric that nothing has, of all that
            its policy would let go.
    """
    if not scope.policies:
        return
    versions = list(store.artifacts())
    types = {CAPTURE, *(version.type for version in versions)}
    for unknown in dict.fromkeys(t for given in scope.policies for t in given.types):
        if unknown not in types:
            say(f"hint: nothing has --type {visible(unknown)}; there are {listed(sorted(types))}")
    for given in scope.policies:
        for rule in _without_effect(store, scope, given, versions):
            if not only_tell:
                raise UsageError(_refusal(rule, given))
            say(f"hint: --keep {visible(rule.text)} keeps nothing; see that its name is right")


def _without_effect(
    store: "_Kept", scope: Scope, given: Policy, versions: Sequence[ArtifactVersion]
) -> list[Keep]:
    """The rules of `given` whose name nothing has, where something would go all the same."""
    aliased = [rule for rule in given.keep if _is_alias_of(store, rule, given, versions)]
    named = [rule for rule in given.keep if rule.name and rule not in aliased]
    if not named:
        return []
    # By itself: another policy may have a rule of the same text, which keeps something there.
    by_itself = msgspec.structs.replace(given, keep=(*given.keep, Keep(text="held", kind="held")))
    alone = msgspec.structs.replace(scope, policies=(by_itself,), unreferenced=False)
    plan = store.upkeep.plan(alone)
    return [rule for rule in named if plan.drops and not plan.kept.get(rule.text)]


def _is_alias_of(
    store: Store, rule: Keep, given: Policy, versions: Iterable[ArtifactVersion]
) -> bool:
    """Whether `rule` names an alias that anything of these types has whose bytes are here.

    An alias moves on: what has it is often too young to go, or in use.
    """
    from instrument.artifacts.presence import why_lacking

    return rule.kind == "alias" and any(
        rule.name in version.aliases and why_lacking(store, version) is None
        for version in versions
        if not given.types or version.type in given.types or CAPTURE in given.types
    )


def _refusal(rule: Keep, given: Policy) -> str:
    what = "the alias" if rule.kind == "alias" else "the metric"
    of_types = f" of type {' or '.join(given.types)}" if given.types else ""
    return (
        f"--keep {rule.text} keeps nothing: of all{of_types} that may go, and whose bytes are "
        f"here, nothing has {what} {rule.name.removeprefix('metrics.')!r}; nothing was removed: "
        "see that the name is right (--dry-run shows what would go), or leave the rule out"
    )


class _How(NamedTuple):
    """How a collection goes about it; see the options of `gc`."""

    dry_run: bool
    yes: bool
    as_json: bool


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _from_project() -> tuple[Policy, ...]:
    from instrument import settings

    found = tuple(map(policy_from_table, settings.retention()))
    if not found:
        raise UsageError("pyproject.toml has no [[tool.instrument.retention]]; write one there")
    return found


def _tell_what_there_is(store: _Kept, *, as_json: bool) -> int:
    """No rule, no collection: what lies here, and which rules there are."""
    plan = store.upkeep.plan(Scope(unreferenced=True))
    if as_json:
        emit_json({"dry_run": True, **msgspec.to_builtins(plan)})
        return 0
    types: dict[str, list[int]] = {}
    for version in store.artifacts():
        row = types.setdefault(version.type, [0, 0, 0])
        untagged = not set(version.aliases) - {LATEST}
        row[0] += 1
        row[1] += untagged
        row[2] += version.size_bytes * untagged
    rows = [[kind, str(row[0]), str(row[1]), size(row[2])] for kind, row in sorted(types.items())]
    headings = ["type", "versions", "without a tag", "size of these"]
    show(table(headings, rows, numeric=headings[1:]))
    emit(f"\nunreferenced: {_amount(plan)}")
    say("no rule was given, so nothing goes; such as:\n  " + "\n  ".join(_WAYS))
    return 0


def _show(plan: Plan) -> None:
    rows: list[list[Cell]] = [_row(drop) for drop in plan.drops[:_MOST_ROWS]]
    if rows:
        show(table(["what", "type", "age", "objects", "size", "rule"], rows, numeric=_NUMERIC))
    if len(plan.drops) > _MOST_ROWS:
        emit(f"… and {len(plan.drops) - _MOST_ROWS} more; --json shows all")
    for rule, kept in sorted(plan.kept.items()):
        emit(f"kept by {visible(rule)}: {kept}")
    if plan.leftovers:
        emit(f"left by dead processes: {listed(plan.leftovers, most=5)}")
    if plan.young:
        emit(f"too young for --grace: {count(plan.young, 'object')}")
    emit(f"{_amount(plan)} would go" if plan.objects or plan.leftovers else "nothing goes")


_NUMERIC = ("age", "objects", "size")


def _row(drop: Drop) -> list[Cell]:
    return [
        drop.subject or "-",
        drop.type,
        ago(drop.made_at),
        str(len(drop.digests)),
        size(drop.size_bytes),
        drop.rule,
    ]


def _amount(plan: Plan) -> str:
    left = f", {count(len(plan.leftovers), 'file')} left over" if plan.leftovers else ""
    return f"{count(plan.objects, 'object')}{left}, {size(plan.size_bytes)}"
