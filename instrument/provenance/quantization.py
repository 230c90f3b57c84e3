"""How the weights are held: one word, asked for and seen."""

from importlib.util import find_spec
from typing import Any, Final

from instrument.errors import MissingDependencyError, UsageError

NONE: Final = "none"
_BITSANDBYTES: Final[dict[str, dict[str, Any]]] = {
    "8bit": {"load_in_8bit": True},
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}


def check_quantization(name: str | None) -> None:
    """Fail early where `name` cannot be had.

    Raises:
        UsageError: There is no such quantization.
        MissingDependencyError: The library that it needs is not installed.
    """
    if name is None or name == NONE:
        return
    if name not in _BITSANDBYTES:
        known = ", ".join((NONE, *_BITSANDBYTES))
        raise UsageError(
            f"quantization={name!r:.80} is unknown; use one of {known}, or None for a model that "
            "comes quantized in another way"
        )
    missing = [library for library in ("accelerate", "bitsandbytes") if find_spec(library) is None]
    if missing:
        raise MissingDependencyError(
            f"quantization={name!r} needs {' and '.join(missing)}, not installed here: "
            f"pip install {' '.join(missing)}, or use quantization='none'"
        )


def quantization_options(name: str | None) -> dict[str, Any]:
    """What ``from_pretrained`` has to be told for `name`."""
    if name not in _BITSANDBYTES:
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(**_BITSANDBYTES[name], bnb_4bit_compute_dtype=torch.bfloat16)
    return {"quantization_config": config}


def seen_quantization(model: Any) -> str:
    """How `model` holds its weights: ``none``, ``8bit``, ``fp4``, ``nf4``, or the method's name."""
    for module in model.modules():
        kind = type(module).__name__
        if kind == "Linear8bitLt":
            return "8bit"
        if kind == "Linear4bit":
            return str(module.weight.quant_type)
    config = getattr(model.config, "quantization_config", None)
    method = config.get("quant_method") if isinstance(config, dict) else _method(config)
    named = str(getattr(method, "value", method) or NONE)
    return NONE if named == "bitsandbytes" else named  # it says so, and none of its layers is there


def _method(config: Any) -> Any:
    return getattr(config, "quant_method", None)
