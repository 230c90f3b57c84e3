"""Models in GGUF: run by llama-cpp-python, or opened by the reader of gguf."""

import re
from typing import Any, Final

from instrument.intercept.constructors import Constructor
from instrument.intercept.facts import digest_of_text, known
from instrument.intercept.loads import Load, LoadCall
from instrument.intercept.targets import Target

_SHARD: Final = re.compile(r"-\d{5}-of-(?P<count>\d{5})\.gguf$")
_TEMPLATE: Final = "tokenizer.chat_template"


def _begin(load: Load, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The file or all its shards, and the adapter that is put on it at once."""
    source = args[0] if args else kwargs.get("model_path")
    for path in _shards(str(source)):
        load.reads(path)
    if kwargs.get("lora_path"):
        load.reads(kwargs["lora_path"])
        load.facts |= known(adapter=kwargs["lora_path"], adapter_scale=kwargs.get("lora_scale"))


def _shards(path: str) -> list[str]:
    """Paths of all the files of a model, when `path` is the first of several."""
    shard = _SHARD.search(path)
    if shard is None:
        return [path]
    stem, count = path[: shard.start()], int(shard["count"])
    return [f"{stem}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def _end(load: Load, model: Any) -> None:
    about = dict(model.metadata)
    template = about.get(_TEMPLATE)
    load.facts |= known(
        architecture=about.get("general.architecture"),
        name=about.get("general.name"),
        file_type=about.get("general.file_type"),
        vocabulary=model.n_vocab(),
        context_size=model.n_ctx(),
        gpu_layers=model.model_params.n_gpu_layers,
        chat_format=model.chat_format,
        chat_template=digest_of_text(template) if template is not None else None,
    )


def _read(load: Load, reader: Any) -> None:
    field = reader.fields.get("general.architecture")
    load.facts |= known(
        architecture=field.contents() if field is not None else None,
        tensors=len(reader.tensors),
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        dtypes=sorted({tensor.tensor_type.name for tensor in reader.tensors}),
    )


TARGETS: Final = (
    Target(
        "llama_cpp.llama",
        "Llama.__init__",
        Constructor(LoadCall("model", "llama_cpp.Llama", "model_path", begin=_begin, end=_end)),
    ),
    Target(
        "gguf.gguf_reader",
        "GGUFReader.__init__",
        Constructor(LoadCall("weights", "gguf.GGUFReader", "path", end=_read, file=True)),
    ),
)
