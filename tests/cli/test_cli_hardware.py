"""What ``runs show`` says of the hardware."""

import sys

from cli.support import Cli
from rich.console import Console

from instrument.cli.hardware import hardware_table

READINGS = {
    "disk.read_bytes_per_second": {"mean": 2048.0, "max": 4096.0},
    "gpu.0.memory_used_bytes": {"mean": 2.0**30, "max": 2.0**31},
    "gpu.0.power_watts": {"mean": 310.25, "max": 700.0},
    "gpu.0.temperature_celsius": {"mean": 51.0, "max": 60.0},
    "host.cpu_percent": {"mean": 12.34, "max": 100.0},
    "process.cpu_seconds": {"mean": 75.0, "max": 75.0},
    "process.memory_peak_bytes": {"mean": 1024.0, "max": 1024.0},
    "tree.cpu_percent": {"mean": 150.0, "max": 200.0},
    "tree.processes": {"mean": 2.5, "max": 4.0},
}


def drawn(seconds: float | None) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(hardware_table(READINGS, seconds))
    return [" ".join(line.split()) for line in captured.get().splitlines()[1:]]


def test_the_processes_come_first_and_the_host_last_all_with_units() -> None:
    assert drawn(60.0) == [
        "tree cpu 150.0 % 200.0 %",
        "tree processes 2.5 4",
        "process cpu 1 min 15 s",
        "process memory peak 1 KiB",
        "gpu 0 memory used 1 GiB 2 GiB",
        "gpu 0 power 310.2 W 700.0 W",
        "gpu 0 temperature 51 °C 60 °C",
        "host cpu 12.3 % 100.0 %",
        "host disk read 2 KiB/s 4 KiB/s",
    ]
    assert drawn(None) == drawn(60.0)


def test_of_a_short_run_only_what_the_system_counts() -> None:
    assert drawn(0.4) == ["process cpu 1 min 15 s", "process memory peak 1 KiB"]


def test_a_recorded_command_shows_its_processes(cli: Cli) -> None:
    assert cli("run", "--", sys.executable, "-c", "import time\ntime.sleep(2.5)").code == 0
    page = cli("runs", "show", "latest").out
    hardware = page.partition("hardware\n")[2].splitlines()[1:]
    assert hardware[0].split()[0] == "tree"
    assert any(line.split()[:2] == ["tree", "memory"] for line in hardware)
    shown = page.partition("hardware\n")[2].partition("recording")[0]
    assert "…" not in shown
    assert "e+" not in shown
    assert "-c $'import time\\ntime.sleep(2.5)'\n" in page
