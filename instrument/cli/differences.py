"""What differs between two runs, part by part."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from instrument.cli.output import facts, section, table, text
from instrument.cli.words import short_digests, value_text
from instrument.errors import InstrumentError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.records import ArtifactLogged, CodeCaptured, Metrics
from instrument.summary import RunSummary

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

Curve: TypeAlias = list[tuple[int | None, float | str]]
"""Steps and values of a metric, each process in its order."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One value that is not the same.

    Attributes:
        name: Dotted name inside its part.
        a: The value in the first run; None where it has none.
        b: The value in the second.
    """

    name: str
    a: Any
    b: Any


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs beside each other.

    Attributes:
        a: Id of the first run.
        b: Id of the second.
        same: True when nothing that is compared differs and everything could be compared.
        differences: For each part what differs; an empty list means that the part is the same.
        unknown: For each part that could not be compared the reason.
        unrecorded: Parts of which neither run recorded anything.
    """

    a: str
    b: str
    same: bool
    differences: dict[str, list[Difference]]
    unknown: dict[str, str]
    unrecorded: list[str]


def compare(store: Store, a: RunSummary, b: RunSummary) -> Comparison:
    """Compare `a` with `b`, down to the versions of the packages."""
    unknown: dict[str, str] = {}
    told = [_told(store, run.id) for run in (a, b)]
    sides = [
        _parts(store, run, recorded, unknown) for run, recorded in zip((a, b), told, strict=True)
    ]
    if any(side["seeds"].get("seed") is None for side in sides):
        for side in sides:
            side["seeds"] = _with_states_in_one(side["seeds"])
    differences = {
        part: _differences(sides[0][part], sides[1][part])
        for part in sides[0]
        if part not in unknown
    }
    differences["metrics"] += _other_ways(told[0].curves, told[1].curves, differences["metrics"])
    same = not unknown and not any(differences.values())
    unrecorded = [part for part in differences if not any(map(_is_recorded, _both(sides, part)))]
    return Comparison(
        a=a.id, b=b.id, same=same, differences=differences, unknown=unknown, unrecorded=unrecorded
    )


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    parts = (
        flatten(inner, f"{prefix}.{name}" if prefix else str(name)) for name, inner in value.items()
    )
    return dict(chain.from_iterable(part.items() for part in parts))


def differences_page(comparison: Comparison) -> "Group":
    """The comparison for people."""
    from rich.console import Group
    from rich.text import Text

    nothing = comparison.unrecorded
    tail = [text(f"nothing recorded: {', '.join(nothing)}", "dim")] if nothing else []
    pages: list[RenderableType] = [facts([("a", comparison.a), ("b", comparison.b)]), Text()]
    if comparison.same:
        return Group(*pages, text("same: nothing that was recorded differs", "green"), *tail)
    for part, found in comparison.differences.items():
        if found:
            rows = [[each.name, _shown(each.a), _shown(each.b)] for each in found]
            pages += section(part, table(["", "a", "b"], rows))
            for line in _code_lines(comparison, found) if part == "git" else ():
                pages.append(Text(f"  {line}", style="dim", no_wrap=True, overflow="ignore"))
            pages.append(Text())
    for part, reason in comparison.unknown.items():
        pages.append(text(f"{part}: cannot be compared: {reason}", "yellow"))
    equal = (part for part, found in comparison.differences.items() if not found)
    same = [part for part in equal if part not in nothing]
    if same:
        pages.append(text(f"same: {', '.join(same)}", "green"))
    return Group(*pages, *tail)


class _Told(NamedTuple):
    """What the journals of a run tell beyond its summary.

    Attributes:
        patch: Digest of the patch of the code.
        outputs: Digests of the outputs by name, in order.
        curves: All values of each metric.
    """

    patch: str | None
    outputs: dict[str, list[str]]
    curves: dict[str, Curve]


def _parts(
    store: Store, run: RunSummary, told: _Told, unknown: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """The parts of a run that are compared, each flat."""
    git = msgspec.structs.asdict(run.git) if run.git else {}
    return {
        "command": {"command": list(run.command), "function": run.function},
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "git": {**git, "patch": told.patch},
        "inputs": _by_name(run.inputs),
        "models": _by_content(run, run.models or []),
        "data": _by_content(run, run.data or []),
        "outputs": told.outputs,
        "seeds": flatten(run.seeds or {}),
        "environment": _environment(store, run, unknown),
        "outcome": {
            "state": str(run.state),
            "exit_code": run.exit_code,
            "ended_by": run.ended_by,
        },
    }


def _with_states_in_one(seeds: Mapping[str, Any]) -> dict[str, Any]:
    """The random states as one value: without a seed they differ in any two runs, all of them."""
    states = {name: seeds[name] for name in sorted(seeds) if name.startswith("states.")}
    rest = {name: value for name, value in seeds.items() if name not in states}
    if not states:
        return rest
    how = "unseeded" if seeds.get("seed") is None else "seeded"
    digest = hashlib.sha256(repr(states).encode()).hexdigest()
    return {**rest, "random states": f"{how}, sha256:{digest}"}


def _told(store: Store, run_id: str) -> _Told:
    """What the journals of the run tell.

    Names that are built from the run's id differ in any two runs; the id is taken out of them.
    """
    patch = None
    outputs: defaultdict[str, list[str]] = defaultdict(list)
    curves: defaultdict[str, Curve] = defaultdict(list)
    for entry in store.entries(run_id):
        match entry.record:
            case CodeCaptured() as code:
                patch = code.patch
            case ArtifactLogged() as logged:
                name = logged.ref.rpartition(":")[0].replace(run_id, "RUN")
                outputs[name].append(logged.digest)
            case Metrics() as logged_metrics:
                for name, value in logged_metrics.values.items():
                    curves[name].append((logged_metrics.step, value))
    return _Told(patch, outputs, curves)


def _other_ways(
    a: Mapping[str, Curve], b: Mapping[str, Curve], found: Sequence[Difference]
) -> list[Difference]:
    """Metrics that end alike, but went another way."""
    ends = {each.name for each in found}
    return [
        Difference(name=f"{name} (all values)", a=_way(a[name], b[name]), b=_way(b[name], a[name]))
        for name in sorted(a.keys() & b.keys() - ends)
        if a[name] != b[name]
    ]


def _way(curve: Curve, other: Curve) -> dict[str, Any]:
    """How many values there are, and the first that the other has not in this place."""
    place = next((i for i, point in enumerate(curve) if i >= len(other) or point != other[i]), None)
    if place is None:
        return {"values": len(curve)}
    step, value = curve[place]
    return {"values": len(curve), "first_other": {"step": step, "value": value}}


def _code_lines(comparison: Comparison, found: Sequence[Difference]) -> Iterator[str]:
    """How to see the lines that the patches differ in."""
    for each in found:
        if each.name == "patch":
            runs = {comparison.a: each.a, comparison.b: each.b}
            commands = [f"instrument runs patch {run}" for run, patch in runs.items() if patch]
            both = f"diff <({commands[0]}) <({commands[-1]})"
            yield f"lines of the patches: {both if len(commands) > 1 else commands[0]}"


def _environment(store: Store, run: RunSummary, unknown: dict[str, str]) -> dict[str, Any]:
    """The snapshot of the environment, flat; where there is none, `unknown` says why."""
    if run.environment is None:
        unknown["environment"] = f"run {run.id} has no snapshot of its environment"
        return {}
    try:
        return flatten(msgspec.json.decode(store.get_bytes(run.environment)))
    except InstrumentError as error:
        unknown["environment"] = str(error)
        return {}


def _by_content(run: RunSummary, loads: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What was loaded or read under each name, by digest; what has none is equal to nothing.

    Two runs may keep the same content in different directories: of a path only its end counts.
    """
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for load in loads:
        call = load.get("loader") or load.get("reader")
        name = str(load["requested"] or call).rstrip("/").rpartition("/")[2]
        unknown = f"unknown in {run.id}: {load.get('reason') or 'not identified'}"
        found[name][load["digest"] or unknown] = None
    return {name: sorted(digests) for name, digests in found.items()}


def _by_name(references: Sequence[str]) -> dict[str, list[str]]:
    """Versions by the name of the artifact."""
    found: dict[str, list[str]] = {}
    for reference in references:
        name = parse_reference(reference).name
        found.setdefault(name, []).append(reference.removeprefix(f"{name}:"))
    return found


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    names = sorted(a.keys() | b.keys())
    return [
        Difference(name=name, a=a.get(name), b=b.get(name))
        for name in names
        if a.get(name) != b.get(name)
    ]


def _both(sides: Sequence[Mapping[str, dict[str, Any]]], part: str) -> Iterator[Any]:
    """The values of `part` on every side."""
    return chain.from_iterable(side[part].values() for side in sides)


def _is_recorded(value: Any) -> bool:
    return value is not None and value != []


def _shown(value: Any) -> str:
    return "-" if value is None else short_digests(value_text(value))
