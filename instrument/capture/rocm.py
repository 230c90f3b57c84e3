"""AMD's GPUs and ROCm, from what the kernel's driver and the installation leave in files."""

import re
from pathlib import Path
from typing import Any, Final

from instrument.capture.parts import NotKnown
from instrument.capture.system_files import line_of

_AMD: Final = "0x1002"
_CARD = re.compile(r"card\d+")


def rocm(root: Path = Path("/")) -> dict[str, Any]:
    """ROCm's version, the driver's, and each AMD GPU with its memory.

    Args:
        root: Where the system's files lie.
    """
    cards = root / "sys/class/drm"
    found = [path for path in cards.glob("card*") if _CARD.fullmatch(path.name) and _is_amd(path)]
    driver = line_of(root / "sys/module/amdgpu/version")
    version = line_of(root / "opt/rocm/.info/version")
    if not found and driver is None and version is None:
        raise NotKnown("no AMD GPU: neither one nor its driver nor ROCm is on this machine")
    reasons = {} if driver else {"driver": "the driver that came with the kernel has no version"}
    return {
        "version": version,
        "driver": driver,
        "devices": [_device(path / "device") for path in sorted(found, key=_number)],
        "reasons": reasons,
    }


def _device(directory: Path) -> dict[str, Any]:
    memory = line_of(directory / "mem_info_vram_total") or ""
    return {
        "name": line_of(directory / "product_name"),
        "pci_device": line_of(directory / "device"),
        "memory_total_bytes": int(memory) if memory.isdigit() else None,
        "vbios": line_of(directory / "vbios_version"),
    }


def _is_amd(card: Path) -> bool:
    return line_of(card / "device/vendor") == _AMD


def _number(card: Path) -> int:
    return int(card.name.removeprefix("card"))
