"""Models in GGUF: run by llama-cpp-python, or opened by the reader of gguf."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
from intercept.loading import digest, loads_of

from instrument.intercept.facts import digest_of_text
from instrument.intercept.gguf_loads import _shards
from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

gguf = pytest.importorskip("gguf", reason="gguf is not installed: no model can be made")
pytestmark = pytest.mark.filterwarnings("ignore")

_TEMPLATE = "{{ messages }}"
_LAYER = {
    "attn_norm": (32,),
    "ffn_norm": (32,),
    "attn_q": (32, 32),
    "attn_k": (32, 32),
    "attn_v": (32, 32),
    "attn_output": (32, 32),
    "ffn_gate": (64, 32),
    "ffn_up": (64, 32),
    "ffn_down": (32, 64),
}


def write_model(path: Path, kind: str = "F32") -> Path:
    """A llama of one layer whose words are bytes; `kind` is how its matrices are held."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types([2, 3, 3] + [6] * 256)
    writer.add_vocab_size(len(words))
    writer.add_chat_template(_TEMPLATE)
    random = numpy.random.default_rng(0)
    shapes = {f"blk.0.{name}.weight": shape for name, shape in _LAYER.items()}
    shapes |= {"token_embd.weight": (len(words), 32), "output.weight": (len(words), 32)}
    shapes |= {"output_norm.weight": (32,)}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(numpy.float32)
        held = gguf.GGMLQuantizationType[kind if len(shape) > 1 else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(values, held), raw_dtype=held)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _run(path: Path, **options: Any) -> Any:
    llama = pytest.importorskip(
        "llama_cpp", reason="llama-cpp-python is not installed (it is built from source)"
    )
    return llama.Llama(str(path), n_ctx=256, verbose=False, **options)


class TestReader(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "gguf")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        model = write_model(path / "m.gguf")
        return {"reader": lambda: gguf.GGUFReader(model)}

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"not there": lambda: gguf.GGUFReader(path / "nothing.gguf")}

    def same(self, one: Any, other: Any) -> bool:
        return list(one.fields) == list(other.fields) and len(one.tensors) == len(other.tensors)


class TestLlama(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "llama_cpp")

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        model = write_model(path / "m.gguf")
        return {"model": lambda: _run(model)}

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"not there": lambda: _run(path / "nothing.gguf")}

    def same(self, one: Any, other: Any) -> bool:
        return bool(
            one("hi", max_tokens=2, temperature=0)["choices"]
            == other("hi", max_tokens=2, temperature=0)["choices"]
        )


def test_a_model_tells_what_it_is_and_its_digest(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    found = loads_of(lambda: _run(path))
    [load] = found.loaded
    assert (load.what, load.loader, load.requested) == ("model", "llama_cpp.Llama", str(path))
    assert (load.facts["architecture"], load.facts["name"]) == ("llama", "tiny")
    assert (load.facts["vocabulary"], load.facts["context_size"]) == (259, 256)
    assert load.facts["chat_template"] == digest_of_text(_TEMPLATE)
    assert found.of(load).digest == digest(path)


def test_a_reader_tells_its_tensors(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    [load] = loads_of(lambda: gguf.GGUFReader(path)).loaded
    assert (load.what, load.facts["architecture"]) == ("weights", "llama")
    assert (load.facts["tensors"], load.facts["dtypes"]) == (12, ["F32"])
    assert load.facts["parameters"] == 26912


def test_of_a_sharded_model_all_files_are_known() -> None:
    assert _shards("/m/x-00001-of-00003.gguf") == [
        f"/m/x-0000{number}-of-00003.gguf" for number in (1, 2, 3)
    ]
    assert _shards("/m/x.gguf") == ["/m/x.gguf"]
