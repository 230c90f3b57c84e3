"""The wrapper itself; imported, and `wrapt` with it, when the first call is wrapped."""

from typing import Any

import wrapt


class CallWrapper(wrapt.FunctionWrapper):  # type: ignore[misc]  # wrapt has no annotations
    """Stands for a function, and is pickled as the function: by its name.

    Args:
        original: The function, class, or what a class has for its method.
        around: Called in its place (see `instrument.intercept.patching.Around`).
    """

    def __reduce_ex__(self, protocol: Any) -> str:
        """By name, as functions and classes are pickled."""
        name: str = self.__wrapped__.__qualname__
        return name
