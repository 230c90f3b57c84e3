"""Files that the program fetches from the hub, or finds in its cache.

A load that fetches its files is told as that load. The cache names large files by their SHA-256,
so that what lies there is checked against what the hub said.
"""

from collections.abc import Callable
from typing import Any, Final

from instrument.intercept.diverting import caller
from instrument.intercept.facts import known
from instrument.intercept.loads import Load, LoadCall, current_group, current_load
from instrument.intercept.reads import read_all
from instrument.intercept.targets import Target
from instrument.intercept.transformers_facts import commit_of, sees_file

_ASKED: Final = ("allow_patterns", "filename", "ignore_patterns", "repo_type", "subfolder")
_PARTS: Final = frozenset({"huggingface_hub._snapshot_download", "huggingface_hub.repocard"})


def _asked(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The options that decide what is fetched; a token is none of them."""
    asked = known(**{name: kwargs[name] for name in _ASKED if name in kwargs})
    if len(args) > 1:
        asked["filename"] = str(args[1])
    load.facts["asked"] = asked
    revision = kwargs.get("revision")
    load.revision = str(revision)[:200] if revision is not None else None
    if asked.get("repo_type") == "dataset":
        load.kind = "data"


def _fetched(load: Load, path: Any) -> None:
    """The file, or all of the snapshot."""
    if not isinstance(path, str):  # a dry run
        load.facts["dry_run"] = True
        return
    load.commit = commit_of(f"{path}/")
    if load.commit is not None and load.kind == "data":
        load.facts["commit"] = load.commit
    read_all(load, path)


def _download(name: str) -> Callable[..., Any]:
    """What stands around the function `name`."""
    call = LoadCall("download", f"huggingface_hub.{name}", "repo_id", begin=_asked, end=_fetched)

    def around(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        load = current_load()
        if load is None and current_group() is None and not _is_part():
            return call(wrapped, instance, args, kwargs)
        found = wrapped(*args, **kwargs)
        if load is not None and isinstance(found, str) and name == "hf_hub_download":
            sees_file(load, found)
        return found

    return around


def _is_part() -> bool:
    """Whether the call is one of many of a snapshot, which are made in threads."""
    frame = caller()
    return frame is not None and frame.f_globals.get("__name__") in _PARTS


TARGETS: Final = (
    Target("huggingface_hub.file_download", "hf_hub_download", _download("hf_hub_download")),
    Target(
        "huggingface_hub._snapshot_download", "snapshot_download", _download("snapshot_download")
    ),
)
