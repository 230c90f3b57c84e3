"""The machine: operating system, kernel, virtualisation and memory."""

import os
import sys
from pathlib import Path
from typing import Any

from instrument.capture.parts import NotKnown, explained
from instrument.capture.system_files import cpuinfo, line_of, text_of


def system(root: Path = Path("/")) -> dict[str, Any]:
    """Operating system, kernel, C library, and what the machine is.

    Args:
        root: Where the system's files lie.
    """
    name = os.uname()
    release = _os_release(root)
    told = {
        "os": name.sysname,
        "kernel": name.release,
        "kernel_build": name.version,
        "machine": name.machine,
        "distribution": release.get("ID"),
        "distribution_version": release.get("VERSION_ID"),
        "libc": _libc(),
        "byte_order": sys.byteorder,
        "virtualisation": virtualisation(root),
    }
    return explained(told, "the system does not tell it")


def virtualisation(root: Path) -> dict[str, Any]:
    """What the firmware and the kernel say the machine is; None where they say nothing.

    ``is_virtual`` is the processor's own word: a hypervisor sets that flag for its guests.
    """
    names = {
        "vendor": line_of(root / "sys/class/dmi/id/sys_vendor"),
        "product": line_of(root / "sys/class/dmi/id/product_name"),
        "hypervisor": line_of(root / "sys/hypervisor/type"),
    }
    kernel = line_of(root / "proc/sys/kernel/osrelease") or ""
    if names["hypervisor"] is None and "microsoft" in kernel.lower():
        names["hypervisor"] = "wsl"
    return explained(
        {"is_virtual": _has_hypervisor_flag(root), **names},
        "neither the firmware nor the kernel tells it",
        is_virtual="only processors of the x86 kind tell it",
    )


def memory() -> dict[str, Any]:
    """Memory of the machine."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return {"total_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
    except (ValueError, OSError) as error:
        raise NotKnown("the system does not tell its memory") from error


def _has_hypervisor_flag(root: Path) -> bool | None:
    """Only x86 has the flag: elsewhere it is not known."""
    flags = cpuinfo(root).get("flags")
    return "hypervisor" in flags.split() if flags is not None else None


def _os_release(root: Path) -> dict[str, str]:
    lines = text_of(root / "etc/os-release").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {key: value.strip("\"'") for key, _, value in pairs}


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):
        return None
