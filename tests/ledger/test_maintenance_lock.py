"""T21: the maintenance lock, held, abandoned, damaged, from the future, taken away."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument_local.files import Disk
from instrument_local.layout import Layout
from instrument_local.maintenance import STALE_SECONDS, maintenance
from instrument_local.stamps import stamp, unstamp


@pytest.fixture
def layout(store_path: Path) -> Layout:
    return Layout(store_path, SystemClock(), Disk())


def _locks(layout: Layout) -> list[str]:
    return sorted(path.name for path in (layout.root / "maintenance").iterdir())


def _abandon(layout: Layout, **changes: Any) -> Path:
    """A lock that nobody lets go, as its holder wrote it but for `changes`."""
    with maintenance(layout, "gc") as held:
        content = msgspec.json.decode(unstamp(held.path.read_bytes()))
        content |= changes
    held.path.write_bytes(stamp(msgspec.json.encode(content)))
    held.path.with_suffix(".done").unlink()
    return held.path


def _age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_one_holds_it_and_the_other_is_told_who(layout: Layout) -> None:
    with (
        maintenance(layout, "gc") as held,
        pytest.raises(
            StoreError, match=rf"locked for gc by process {os.getpid()} on .*; wait until"
        ),
        maintenance(layout, "pack"),
    ):
        pytest.fail("two hold the lock")
    assert not held.is_ours()
    with maintenance(layout, "pack") as held:
        held.check()
    assert len(_locks(layout)) == 1  # nothing piles up


def test_a_lock_can_be_waited_for(layout: Layout) -> None:
    script = (
        "import sys, time; from pathlib import Path; from instrument.clock import SystemClock\n"
        "from instrument_local.files import Disk; from instrument_local.layout import Layout\n"
        "from instrument_local.maintenance import maintenance\n"
        "with maintenance(Layout(Path(sys.argv[1]), SystemClock(), Disk()), 'gc'):\n"
        "    print('held', flush=True); time.sleep(0.5)\n"
    )
    command = [sys.executable, "-c", script, str(layout.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"by process {holder.pid} "):
            maintenance(layout, "pack").__enter__()
        with maintenance(layout, "pack", wait_seconds=60) as held:
            held.check()


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1},
        {"process_start": 1},  # the process id was given to somebody else
        {"boot_id": "before"},  # the machine was started anew
    ],
)
def test_T21_the_lock_of_a_dead_process_of_this_host_is_taken_at_once(  # noqa: N802 - its id
    layout: Layout, changes: dict[str, Any]
) -> None:
    path = _abandon(layout, **changes)
    with maintenance(layout, "pack") as held:
        held.check()
    assert not path.exists()


@pytest.mark.parametrize("changes", [{"host": "elsewhere", "boot_id": "x"}, {"boot_id": None}])
def test_T21_a_lock_of_another_host_is_taken_when_it_was_not_refreshed_for_half_an_hour(  # noqa: N802
    layout: Layout, changes: dict[str, Any]
) -> None:
    path = _abandon(layout, **changes)
    for seconds in (0, STALE_SECONDS - 60, -3600):  # the last one lies in the future
        _age(path, seconds)
        with (
            pytest.raises(StoreError, match="if nobody works on the store, remove /") as refused,
            maintenance(layout, "pack"),
        ):
            pytest.fail("the lock of a living process was taken")
        assert str(path) in str(refused.value)
    _age(path, STALE_SECONDS + 60)
    with maintenance(layout, "pack") as held:
        held.check()


def test_T21_the_lock_of_a_living_process_is_never_taken(layout: Layout) -> None:  # noqa: N802
    path = _abandon(layout)
    _age(path, 10 * STALE_SECONDS)
    with (
        pytest.raises(StoreError, match="wait until it has ended"),
        maintenance(layout, "pack"),
    ):
        pytest.fail("the lock of a living process was taken")


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}", b'{"host":1}\n'])
def test_T21_garbage_keeps_others_out_for_half_an_hour_and_says_so(  # noqa: N802
    layout: Layout, content: bytes
) -> None:
    path = _abandon(layout)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="by a lock that cannot be read"):
        maintenance(layout, "pack").__enter__()
    _age(path, STALE_SECONDS + 60)
    with maintenance(layout, "pack") as held:
        held.check()


def test_T21_who_loses_the_lock_finds_out_before_the_next_deed(layout: Layout) -> None:  # noqa: N802
    with maintenance(layout, "gc") as held:
        held.path.unlink()
        with pytest.raises(StoreError, match="taken away while it was held"):
            held.check()
        with maintenance(layout, "pack") as other:
            with pytest.raises(StoreError, match="taken away"):
                held.check()
            other.check()
    assert _locks(layout) == [other.path.with_suffix(".done").name]


def test_who_looked_long_ago_does_not_take_a_number_that_was_used_since(layout: Layout) -> None:
    from instrument_local.maintenance import _claim

    with maintenance(layout, "gc"):
        pass
    assert _claim(layout, 1, "late") is None
    with maintenance(layout, "gc"):
        assert _claim(layout, 1, "later") is None
    assert _locks(layout) == ["2.done"]


def _count_up(root: Path, times: int) -> None:
    layout = Layout(root, SystemClock(), Disk())
    for _ in range(times):
        with maintenance(layout, "count", wait_seconds=120) as held:
            counter = root / "counter"
            number = int(counter.read_text()) if counter.exists() else 0
            time.sleep(0.001)
            held.check()
            counter.write_text(str(number + 1))


def test_many_processes_never_hold_it_at_once(layout: Layout) -> None:
    layout.create()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(layout.root, 8)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (layout.root / "counter").read_text() == "32"
