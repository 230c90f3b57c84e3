"""Whether the weights of a model are still those that its load gave it."""

import sys
import weakref
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_MOST_SAMPLES: Final = 256


class _Parameter(NamedTuple):
    """What is remembered of a parameter.

    Attributes:
        reference: Tells it from one that took its place.
        version: How often torch saw it written to; None where torch does not count.
        sample: Type and value of the number in its middle: fused optimizers write without being
            counted. None where it is not looked at.
    """

    reference: weakref.ref[Any]
    version: int | None
    sample: tuple[Any, str] | None

    def differs(self, before: "_Parameter") -> bool:
        """Whether it was written to since, or what stands in its place has other numbers."""
        if self.reference() is before.reference() and self.version != before.version:
            return True
        if self.sample is None or before.sample is None or self.sample[0] != before.sample[0]:
            return False
        return self.sample != before.sample


Weights = Mapping[str, _Parameter]
"""The parameters of a model, by name."""


def weights_of(model: object) -> Weights | None:
    """The parameters of a module of torch as they are now; None where they cannot be looked at."""
    torch = sys.modules.get("torch")
    try:
        if torch is None or not isinstance(model, torch.nn.Module):
            return None
        parameters = dict(model.named_parameters())
        every = len(parameters) // _MOST_SAMPLES + 1
        return {
            name: _Parameter(
                weakref.ref(parameter),
                None if parameter.is_inference() else parameter._version,  # noqa: SLF001 - its name
                _sample(torch, parameter) if number % every == 0 else None,
            )
            for number, (name, parameter) in enumerate(parameters.items())
        }
    except Exception:  # the library's own kinds of tensors may refuse
        return None


def have_changed(before: Weights, now: Weights) -> bool:
    """Whether parameters were written to, added, taken away or replaced by others."""
    return before.keys() != now.keys() or any(
        parameter.differs(before[name]) for name, parameter in now.items()
    )


def _sample(torch: Any, parameter: Any) -> tuple[Any, str] | None:
    """Of plain tensors alone: one that is spread over processes would make them wait.

    And not while a CUDA graph is captured: to read a number then would end the capture.
    """
    if type(parameter) is not torch.nn.Parameter or parameter.is_meta or not parameter.numel():
        return None
    if parameter.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    middle = tuple(size // 2 for size in parameter.shape)
    return parameter.dtype, str(parameter.detach()[middle].item())
