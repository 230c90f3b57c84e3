"""Start one command, wait for it, and write down what it cost: ``spawn.py RESULT COMMAND…``.

It runs as ``python -I -S`` and imports next to nothing, because the kernel counts the peak memory
of a process from its parent's: a small parent makes small peaks visible.
"""

import posix
import sys
import time


def main(result: str, command: list[str]) -> int:
    started = time.monotonic()
    pid = posix.posix_spawn(command[0], command, posix.environ)
    _, status, usage = posix.wait4(pid, 0)
    ended = time.monotonic()
    cpu = usage.ru_utime + usage.ru_stime
    with open(result, "a") as told:  # noqa: PTH123 - pathlib alone would be half of the memory
        told.write(f"started {started!r}\nended {ended!r}\n")
        told.write(f"cpu_seconds {cpu!r}\npeak_kb {usage.ru_maxrss}\n")
    return posix.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
