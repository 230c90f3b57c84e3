"""What the user's code prints, kept without a change to what it sees or shows.

The method ``write`` of `sys.stdout` and `sys.stderr` is followed by a note of what was written; the
streams stay the same objects, with the same descriptors. docs/decisions tells why, and what this
cannot see.
"""

from instrument.console.log import ConsoleLog
from instrument.console.streams import install, uninstall

__all__ = ["ConsoleLog", "install", "uninstall"]
