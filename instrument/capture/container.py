"""Containers: which kind this process runs in, of which image, and which one it is.

No single sign is proof (``/.dockerenv`` also stands on machines that were made from an image), so
the signs themselves are kept. A container is seldom told the digest of its image: what it is not
told is None, with the reason.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from instrument.capture.parts import NotKnown
from instrument.capture.system_files import text_of
from instrument.redaction import printable, redact_text

_FILES: Final = {
    "/.dockerenv": "docker",
    "/run/.containerenv": "podman",
    "/.singularity.d": "apptainer",
    "/var/run/secrets/kubernetes.io": "kubernetes",
}
_VARIABLES: Final = {
    "APPTAINER_CONTAINER": "apptainer",
    "SINGULARITY_CONTAINER": "apptainer",
    "KUBERNETES_SERVICE_HOST": "kubernetes",
}
_GROUPS: Final = (
    (re.compile(r"kubepods"), "kubernetes"),
    (re.compile(r"libpod[-_]"), "podman"),
    (re.compile(r"docker[-/][0-9a-f]{12,64}"), "docker"),
    (re.compile(r"/lxc[/.]"), "lxc"),
)
_MOUNTS: Final = (
    (re.compile(r"/containers/[0-9a-f]{64}/(?:hostname|resolv\.conf|hosts)"), "docker"),
    (re.compile(r"/overlay-containers/[0-9a-f]{64}/userdata/"), "podman"),
    (re.compile(r"/pods/[0-9a-f-]{36}/"), "kubernetes"),
)
_ID = re.compile(
    r"(?:docker[-/]|libpod-|cri-containerd-|crio-|/containers/|/overlay-containers/"
    r"|/kubepods[^\n]*/)([0-9a-f]{64})"
)
_POD = re.compile(r"pods?[-/]?([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
_SIF_ID: Final = slice(48, 64)  # behind a launcher of 32 bytes, the magic, the version, the machine
_SIF_MAGIC: Final = b"SIF_MAGIC"
_WHY_UNKNOWN: Final = "a container of this kind is not told it; set it as a parameter of the run"


def container(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """What points to a container, of which kind, and its image as far as it is told.

    Args:
        root: Where the system's files lie.
        environment: The variables to look at.
    """
    signs = set(_signs(root, environment))
    image = _image(root, environment)
    unknown = [name for name, value in image.items() if value is None] if signs else []
    return {
        "kinds": sorted({kind for _, kind in signs}),
        "signs": sorted({sign for sign, _ in signs}),
        **image,
        "reasons": dict.fromkeys(unknown, _WHY_UNKNOWN),
    }


def ids(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Which container this is: its id, its name, and its pod.

    Args:
        root: Where the system's files lie.
        environment: The variables to look at.
    """
    if not any(_signs(root, environment)):
        raise NotKnown("nothing points to a container")
    traces = _groups(root) + text_of(root / "proc/self/mountinfo")
    told = _containerenv(root)
    found, pod = _ID.search(traces), _POD.search(traces)
    number = told.get("id") or (found[1] if found else None)
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment
    secrets = root / "var/run/secrets/kubernetes.io/serviceaccount"
    return {
        "id": number,
        "name": told.get("name") or environment.get("APPTAINER_NAME"),
        "pod": environment.get("HOSTNAME") if kubernetes else None,
        "pod_uid": pod[1].replace("_", "-") if pod else None,
        "namespace": text_of(secrets / "namespace").strip() or None,
        "reasons": {} if number else {"id": "neither control groups nor mounts show it"},
    }


def _signs(root: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What points to a container, and of which kind."""
    yield from ((p, kind) for p, kind in _FILES.items() if (root / p.lstrip("/")).exists())
    yield from ((name, kind) for name, kind in _VARIABLES.items() if name in environment)
    groups, mounts = _groups(root), text_of(root / "proc/self/mountinfo")
    yield from (("cgroup", kind) for pattern, kind in _GROUPS if pattern.search(groups))
    yield from (("mounts", kind) for pattern, kind in _MOUNTS if pattern.search(mounts))
    if environment.get("container"):  # set by podman, systemd-nspawn and others
        yield "container", printable(environment["container"])


def _image(root: Path, environment: Mapping[str, str]) -> dict[str, str | None]:
    """Name, id and digest of the image, as podman, Apptainer or whoever started it tells them."""
    told = _containerenv(root)
    sif = environment.get("APPTAINER_CONTAINER") or environment.get("SINGULARITY_CONTAINER")
    name = told.get("image") or sif
    digest = re.search(r"@(sha256:[0-9a-f]{64})", name or "")
    return {
        "image": redact_text(printable(name)) if name else None,
        "image_id": told.get("imageid") or _sif_id(root, sif),
        "image_digest": digest[1] if digest else None,
        "built_from": _built_from(root),
    }


def _containerenv(root: Path) -> dict[str, str]:
    """What podman writes into /run/.containerenv: lines of ``name="value"``."""
    text = text_of(root / "run/.containerenv")
    return {
        m[1]: printable(m[2])
        for m in re.finditer(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE)
        if m[2]
    }


def _sif_id(root: Path, path: str | None) -> str | None:
    """The UUID in the head of an Apptainer image, where the image can be read from inside."""
    if not path:
        return None
    try:
        descriptor = os.open(root / path.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK)
        try:
            head = os.read(descriptor, 64)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    import uuid

    known = len(head) == _SIF_ID.stop and head[32:].startswith(_SIF_MAGIC)
    return str(uuid.UUID(bytes=head[_SIF_ID])) if known else None


def _built_from(root: Path) -> str | None:
    """The image that an Apptainer image was built from."""
    try:
        labels = msgspec.json.decode(text_of(root / ".singularity.d/labels.json").encode())
        source = labels["org.label-schema.usage.singularity.deffile.from"]
        return redact_text(printable(source))
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return None


def _groups(root: Path) -> str:
    return text_of(root / "proc/self/cgroup") + text_of(root / "proc/1/cgroup")
