"""Which libraries are intercepted, in which versions, and who knows their calls."""

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from instrument.intercept.targets import Target

GROUP: Final = "instrument.interceptors"


class Library(msgspec.Struct, frozen=True):
    """A library with calls that are recorded.

    Attributes:
        name: Its top-level module.
        lowest: First version that is known to work.
        below: First version that is not.
        modules: For each of its modules with such calls, the module that knows them: its
            ``TARGETS`` are the calls to wrap.
        part: The word of the setting ``intercept`` that switches it on.
    """

    name: str
    lowest: tuple[int, ...]
    below: tuple[int, ...]
    modules: Mapping[str, str]
    part: str = "models"

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
        interceptor = importlib.import_module(self.modules[module])
        return tuple(target for target in interceptor.TARGETS if target.module == module)


def _ours(**modules_by_interceptor: tuple[str, ...]) -> dict[str, str]:
    return {
        module: f"instrument.intercept.{interceptor}"
        for interceptor, modules in modules_by_interceptor.items()
        for module in modules
    }


LIBRARIES: Final = (
    Library(
        "transformers",
        (4, 44),
        (6,),
        _ours(
            calls=(
                "transformers.generation.utils",
                "transformers.pipelines.base",
            ),
            training=("transformers.trainer",),
            transformers_loads=(
                "transformers.configuration_utils",
                "transformers.feature_extraction_utils",
                "transformers.generation.configuration_utils",
                "transformers.image_processing_base",
                "transformers.integrations.peft",
                "transformers.modeling_utils",
                "transformers.models.auto.configuration_auto",
                "transformers.models.auto.feature_extraction_auto",
                "transformers.models.auto.image_processing_auto",
                "transformers.models.auto.modeling_auto",
                "transformers.models.auto.processing_auto",
                "transformers.models.auto.tokenization_auto",
                "transformers.pipelines",
                "transformers.processing_utils",
                "transformers.tokenization_utils_base",
                "transformers.utils.hub",
            ),
        ),
    ),
    Library(
        "safetensors",
        (0, 4),
        (1,),
        _ours(
            safetensors_loads=(
                "safetensors",
                "safetensors.flax",
                "safetensors.numpy",
                "safetensors.torch",
            )
        ),
    ),
    Library(
        "torch",
        (2, 2),
        (3,),
        _ours(
            training=(
                "torch.optim.lr_scheduler",
                "torch.optim.optimizer",
                "torch.utils.data.dataloader",
            ),
            seeds=("torch.random",),
            torch_loads=(
                "torch.distributed.checkpoint.state_dict_loader",
                "torch.hub",
                "torch.jit._serialization",
                "torch.serialization",
            ),
        ),
    ),
    Library(
        "accelerate",
        (1,),
        (2,),
        _ours(
            accelerate_loads=(
                "accelerate.accelerator",
                "accelerate.big_modeling",
                "accelerate.utils.modeling",
            )
        ),
    ),
    Library(
        "diffusers",
        (0, 31),
        (1,),
        _ours(
            diffusers_loads=(
                "diffusers.configuration_utils",
                "diffusers.models.modeling_utils",
                "diffusers.pipelines.pipeline_utils",
                "diffusers.schedulers.scheduling_utils",
            )
        ),
    ),
    Library("gguf", (0, 19), (1,), _ours(gguf_loads=("gguf.gguf_reader",))),
    Library(
        "huggingface_hub",
        (0, 25),
        (3,),
        _ours(
            hub_downloads=("huggingface_hub._snapshot_download", "huggingface_hub.file_download")
        ),
    ),
    Library("llama_cpp", (0, 3), (0, 4), _ours(gguf_loads=("llama_cpp.llama",))),
    Library(
        "vllm",
        (0, 11),
        (1,),
        _ours(vllm_loads=("vllm.v1.engine.async_llm", "vllm.v1.engine.llm_engine")),
    ),
    Library(
        "onnxruntime",
        (1, 17),
        (2,),
        _ours(onnx_loads=("onnxruntime.capi.onnxruntime_inference_collection",)),
    ),
    Library("peft", (0, 12), (1,), _ours(peft_loads=("peft.peft_model",))),
    Library(
        "sentence_transformers",
        (6,),
        (7,),
        _ours(
            sentence_transformers_loads=(
                "sentence_transformers.base.model",
                "sentence_transformers.util.file_io",
            )
        ),
    ),
    Library(
        "datasets",
        (2, 18),
        (6,),
        _ours(
            datasets_reads=(
                "datasets.arrow_dataset",
                "datasets.dataset_dict",
                "datasets.load",
                "datasets.utils._dill",
            )
        ),
        "data",
    ),
    Library("pandas", (2,), (4,), _ours(pandas_reads=("pandas",)), "data"),
    Library("polars", (1,), (3,), _ours(polars_reads=("polars",)), "data"),
    Library(
        "pyarrow",
        (15,),
        (28,),
        _ours(
            pyarrow_reads=(
                "pyarrow.csv",
                "pyarrow.dataset",
                "pyarrow.feather",
                "pyarrow.json",
                "pyarrow.orc",
                "pyarrow.parquet.core",
            )
        ),
        "data",
    ),
    Library("numpy", (1, 26), (3,), _ours(numpy_reads=("numpy",)), "numpy"),
    Library("numpy", (1, 26), (3,), _ours(seeds=("numpy.random",))),
    Library("random", (), (), _ours(seeds=("random",))),
    Library("joblib", (1, 2), (2,), _ours(pickle_loads=("joblib.numpy_pickle",)), "pickle"),
    Library("pickle", (), (), _ours(pickle_loads=("pickle",)), "pickle"),
)


def strangers() -> Iterator[Library]:
    """What installed packages add by entry points: the value of each is a `Library`.

    Raises:
        Exception: What a stranger's module raises when it is imported.
        TypeError: An entry point is no `Library`.
    """
    if not any(map(_has_interceptors, sys.path)):
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        library = point.load()
        if not isinstance(library, Library):
            raise TypeError(f"entry point {point.name} = {point.value} is no Library")
        yield library


def _has_interceptors(directory: str) -> bool:
    """Whether a package in `directory` names the group; ten times faster than to read them all."""
    try:
        found = [*Path(directory).glob("*.*-info/entry_points.txt")]
        return any(GROUP.encode() in path.read_bytes() for path in found)
    except OSError:
        return False
