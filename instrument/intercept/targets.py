"""Which call of a library is to be wrapped, and with what."""

from collections.abc import Callable
from typing import Any

import msgspec

Around = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""What is called in place of the original: with the original (bound), the instance or class it is
bound to (None for a function), and the arguments."""


class Target(msgspec.Struct, frozen=True):
    """A call to wrap.

    Attributes:
        module: Name of the module.
        name: ``function`` or ``Class.method`` in it. ``Auto*.load`` are the classes with such names
            that define the method themselves, ``load*`` the functions.
        around: What is called instead.
    """

    module: str
    name: str
    around: Around
