"""The metadata of a record, an evaluation or any other artifact that was made with a model."""

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from instrument.capture.code import code_directory
from instrument.errors import UsageError
from instrument.intercept import session

if TYPE_CHECKING:
    from instrument.protocols import Store

LOADER_FIELDS: Final = (
    "git_commit",
    "git_dirty",
    "loader_version",
    "model_name",
    "model_digest",
    "quantization",
    "template_disabled",
    "add_special_tokens",
    "sentinel_tests_passed",
)
_OF_THE_LOAD: Final = frozenset({"sentinel_tests", "checks"})
"""Too long for each line of a data set; the run's record of the load has them."""
_ASK_AGAIN_SECONDS: Final = 1.0
_environments: Final[dict[str, tuple[str | None, float]]] = {}


def create_artifact_metadata(
    provenance: Mapping[str, Any], script_name: str, artifact_type: str, **extra: Any
) -> dict[str, Any]:
    """What to keep beside a record or an artifact so that it says where it comes from.

    Args:
        provenance: What `CleanModelLoader.load` measured.
        script_name: The script that makes the artifact, such as ``__file__``.
        artifact_type: ``training_data``, ``evaluation``, ``model``, ``session`` …
        **extra: More fields, such as ``loader.last_generation``, ``seed``, ``dataset``.

    Returns:
        All of it, with ``script_name``, ``script_sha256``, ``artifact_type``, the ``timestamp`` of
        this call, and as ``environment`` the digest of the snapshot that the open run has; long
        lists of the load are left out.

    Raises:
        UsageError: Fields of the loader are missing, an `extra` has the name of a captured field,
            or there is no artifact type. It is a ValueError.
    """
    missing = [name for name in LOADER_FIELDS if name not in provenance]
    if missing:
        raise UsageError(
            f"the provenance lacks {', '.join(missing)}; pass what CleanModelLoader.load returned"
        )
    if not artifact_type:
        raise UsageError("artifact_type is empty; use training_data, evaluation, model …")
    captured = {name: value for name, value in provenance.items() if name not in _OF_THE_LOAD}
    captured |= {
        "timestamp": datetime.now(UTC).isoformat(),
        "artifact_type": str(artifact_type),
        "script_name": Path(script_name).name,
        **_script_facts(script_name),
        **_environment_facts(),
    }
    collisions = sorted((captured.keys() | _OF_THE_LOAD) & extra.keys())
    if collisions:
        raise UsageError(
            f"{', '.join(collisions)} cannot be given: captured already; use another name"
        )
    return captured | extra


def _script_facts(script_name: str) -> dict[str, Any]:
    """The digest of the script, by its path or by its name beside the code; else why not."""
    for path in (Path(script_name), code_directory() / script_name):
        try:
            return {"script_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        except OSError:
            continue
    return {"script_sha256": None, "script_reason": f"{script_name!r:.200} cannot be read"}


def _environment_facts() -> dict[str, Any]:
    """The digest of the run's snapshot of the environment; else why there is none."""
    found = session.find()
    if found is None or found.run_id is None:
        return {"environment": None, "environment_reason": "no run is open that watches calls"}
    digest, asked = _environments.get(found.run_id, (None, 0.0))
    if digest is None and time.monotonic() - asked >= _ASK_AGAIN_SECONDS:
        store = cast("Store", found.versions)  # of a run it is the whole store
        digest = store.run(found.run_id).environment
        _environments[found.run_id] = digest, time.monotonic()
    if digest is None:
        reason = "the run has no snapshot of the environment, or not yet"
        return {"environment": None, "environment_reason": reason}
    return {"environment": digest}
