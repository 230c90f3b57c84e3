"""Which libraries are intercepted, in which versions, and who knows their calls."""

import importlib
import re
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from instrument.intercept.patching import Target


class Library(NamedTuple):
    """A library with calls that are recorded.

    Attributes:
        name: Its top-level module.
        lowest: First version that is known to work.
        below: First version that is not.
        modules: For each of its modules with such calls, the module of ours that knows them.
    """

    name: str
    lowest: tuple[int, ...]
    below: tuple[int, ...]
    modules: Mapping[str, str]

    @property
    def versions(self) -> str:
        """The supported versions, for people."""
        lowest, below = (".".join(map(str, version)) for version in (self.lowest, self.below))
        return f"{lowest} … below {below}"

    def version(self) -> str | None:
        """The version that is loaded; None where it does not say."""
        version = getattr(sys.modules.get(self.name), "__version__", None)
        return str(version) if version is not None else None

    def supports(self, version: str | None) -> bool:
        """Whether calls of this version are known; a library that does not say is tried."""
        numbers = re.match(r"\d+(?:\.\d+)*", version or "")
        if numbers is None:
            return True
        found = tuple(map(int, numbers[0].split(".")))
        return self.lowest <= found and found[: len(self.below)] < self.below

    def targets(self, module: str) -> tuple[Target, ...]:
        """The calls to wrap in `module`."""
        interceptor = importlib.import_module(f"instrument.intercept.{self.modules[module]}")
        return tuple(target for target in interceptor.TARGETS if target.module == module)


LIBRARIES: Final = (
    Library(
        "transformers",
        (4, 44),
        (6,),
        {
            "transformers.modeling_utils": "transformers_loads",
            "transformers.tokenization_utils_base": "transformers_loads",
            "transformers.processing_utils": "transformers_loads",
            "transformers.utils.hub": "transformers_loads",
        },
    ),
    Library(
        "safetensors",
        (0, 4),
        (1,),
        {"safetensors": "safetensors_loads", "safetensors.torch": "safetensors_loads"},
    ),
    Library("torch", (2, 2), (3,), {"torch.serialization": "torch_loads"}),
)


def library_of(module: str) -> Library:
    """The library that `module` is of."""
    return next(library for library in LIBRARIES if module in library.modules)
