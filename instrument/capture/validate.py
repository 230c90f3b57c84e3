"""Look at the environment by hand, and hold it against what a project needs."""

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from instrument.capture.code import begin_code, code_directory
from instrument.capture.cuda import torch_build
from instrument.capture.distributions import normalised
from instrument.capture.gpu import devices, usable_memory_bytes
from instrument.capture.packages import all_packages
from instrument.capture.parts import read_part
from instrument.capture.snapshot import GPU_SECONDS, capture_place, capture_snapshot
from instrument.errors import UsageError
from instrument.vocabulary import EnvironmentCaptureLevel

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(.*)")
_VERSION = re.compile(r"\d+(?:\.\d+)*")


class ConfigCapture:
    """The environment as a run would record it, and a check of what a project needs."""

    def capture_environment(
        self, level: EnvironmentCaptureLevel | int = EnvironmentCaptureLevel.STANDARD
    ) -> dict[str, Any]:
        """The snapshot of the environment, the state of the code, and how each part went.

        Args:
            level: 1 basic, 2 standard, 3 complete.

        Returns:
            The parts of the snapshot by name; ``place`` (ids); ``git`` (with ``reason`` when it is
            not whole); and ``health``, a line for each part.

        Raises:
            UsageError: There is no such level.
        """
        snapshot, health = capture_snapshot(level)
        place, health_of_place = capture_place(level)
        code = begin_code(code_directory(), commit=None, level=level).finish()
        git = msgspec.to_builtins(code.git)
        return {
            **snapshot,
            "place": place,
            "git": git if code.reason is None else {**(git or {}), "reason": code.reason},
            "health": msgspec.to_builtins(health + health_of_place),
        }

    def validate_environment(
        self,
        required_packages: Sequence[str] = (),
        min_gpu_memory_gb: float | None = None,
        min_cuda_version: str | None = None,
    ) -> dict[str, Any]:
        """Whether this environment has what is needed. What cannot be known counts as missing.

        Args:
            required_packages: Names or requirements such as ``torch>=2.2``; names compare
                normalised (PEP 503), versions as versions (PEP 440).
            min_gpu_memory_gb: Memory of the largest GPU that this process may use, in 10^9 bytes.
            min_cuda_version: CUDA that torch was built with, else that of the driver.

        Returns:
            ``is_valid``, and the lists ``errors`` and ``warnings``.

        Raises:
            UsageError: A requirement or a version does not parse.
        """
        errors = [error for text in required_packages if (error := _check_package(text))]
        warnings: list[str] = []
        if min_gpu_memory_gb is not None:
            errors += _check_memory(min_gpu_memory_gb)
        if min_cuda_version is not None:
            wrong, doubtful = _check_cuda(min_cuda_version)
            errors += wrong
            warnings += doubtful
        return {"is_valid": not errors, "errors": errors, "warnings": warnings}


def version_key(text: str) -> tuple[int, ...]:
    """A version of numbers and dots as it compares: 9.2 < 11.8, and 12 equals 12.0.

    Raises:
        UsageError: It is not one.
    """
    if not _VERSION.fullmatch(text.strip()):
        raise UsageError(f"{text!r:.80} is not a version; use numbers and dots, such as 12.4")
    numbers = [int(part) for part in text.strip().split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _check_package(requirement: str) -> str | None:
    """What is wrong with `requirement`, or None."""
    match = _REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise UsageError(f"{requirement!r:.80} is not a requirement; use a name, or torch>=2.2")
    name, rest = normalised(match[1]), match[2]
    packages = all_packages()
    if not rest:
        return None if name in packages else f"{name} is not installed"
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return f"{requirement!r} cannot be checked without packaging; pip install packaging"
    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{requirement!r:.80} is not a requirement: {reason}") from None
    if wanted.marker is not None and not wanted.marker.evaluate():
        return None
    found = packages.get(name)
    if name not in packages:
        return f"{name} is not installed; {wanted.specifier or 'any version'} is needed"
    try:
        if found is not None and wanted.specifier.contains(Version(found), prereleases=True):
            return None
    except InvalidVersion:
        pass
    return f"{name} {found or 'of unknown version'} is installed; {wanted.specifier} is needed"


def _check_memory(minimum_gb: float) -> list[str]:
    if not (math.isfinite(minimum_gb) and minimum_gb >= 0):
        raise UsageError(f"{minimum_gb!r} GB of memory cannot be compared; use a number from 0")
    known, health = read_part("usable_gpus", usable_memory_bytes, limit_seconds=GPU_SECONDS)
    if not known:
        reason = health.reason or "CUDA may use no GPU in this process"
        return [f"{minimum_gb:g} GB of GPU memory are needed; {reason}"]
    largest_gb = max(known) / 1e9
    if largest_gb >= minimum_gb:
        return []
    return [f"{minimum_gb:g} GB of GPU memory are needed; the largest GPU has {largest_gb:.1f}"]


def _check_cuda(minimum: str) -> tuple[list[str], list[str]]:
    """Errors and warnings."""
    needed = version_key(minimum)
    build = torch_build()
    if build and build.get("cuda"):
        found, warnings = build["cuda"], []
    else:
        gpus, health = read_part("gpu", devices, limit_seconds=GPU_SECONDS)
        found = gpus["driver_cuda"] if gpus else None
        warnings = ["the installed torch was built without CUDA"] if build else []
        if gpus is None:
            warnings.append(f"GPUs are unknown: {health.reason}")
    if not found:
        return [f"CUDA {minimum} is needed; neither torch nor a driver tells of any"], warnings
    if version_key(found) >= needed:
        return [], warnings
    return [f"CUDA {minimum} is needed; found {found}"], warnings
