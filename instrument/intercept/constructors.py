"""Loads that are the making of an object: the result of the load is the object."""

from collections.abc import Callable
from typing import Any

import msgspec

from instrument.intercept.loads import LoadCall


class Constructor(msgspec.Struct, frozen=True):
    """What stands around the ``__init__`` of a class that loads something (an `Around`).

    Attributes:
        call: The load.
    """

    call: LoadCall

    def __call__(
        self,
        wrapped: Callable[..., Any],
        instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Make the object, as a load or as a part of one."""

        def make(*args: Any, **kwargs: Any) -> Any:
            wrapped(*args, **kwargs)
            return instance

        self.call(make, instance, args, kwargs)
