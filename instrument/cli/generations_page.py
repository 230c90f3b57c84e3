"""Calls of models, as a table of ``instrument runs show``."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from instrument.cli.output import table
from instrument.cli.words import duration, short_digest, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST = 20
_MOST_OF_NAME = 60


def generations_table(generations: Iterable[Mapping[str, Any]]) -> "RenderableType":
    """Each way in which a model was called, and how often."""
    rows = [_row(way) for way in generations]
    more = len(rows) - _MOST
    if more > 0:
        rows[_MOST:] = [(f"… and {more} more; --json shows all", "", "", "", "", "")]
    return table(["model", "settings", "calls", "prompt tokens", "new tokens", "took"], rows)


def _row(way: Mapping[str, Any]) -> tuple[str, ...]:
    model = way["model"]
    name = str(model.get("requested") or model.get("class_name") or way["call"])
    if model.get("digest"):
        name += f" ({short_digest(model['digest'])})"
    failed = f" ({way['failed']} failed)" if way["failed"] else ""
    return (
        visible(name, _MOST_OF_NAME),
        visible(_settings(way), _MOST_OF_NAME),
        f"{way['calls']}{failed}",
        str(way["prompt_tokens"]),
        str(way["new_tokens"]),
        duration(way["duration_seconds"]),
    )


def _settings(way: Mapping[str, Any]) -> str:
    """How tokens are chosen, and how many at most."""
    settings = way["settings"]
    if settings is None:
        return "not known"
    words = [str(way["options"]["pipeline"])] if "pipeline" in way["options"] else []
    if "do_sample" in settings:
        beams = settings.get("num_beams", 1)
        how = "sampled" if settings["do_sample"] else "greedy"
        words.append(how if beams == 1 else f"{how}, {beams} beams")
    if settings.get("do_sample"):
        words += [
            f"{name} {settings[name]}"
            for name in ("temperature", "top_k", "top_p")
            if name in settings
        ]
    limit = settings.get("max_new_tokens")
    if limit is not None:
        words.append(f"up to {limit} new")
    return ", ".join(words) or "-"
