"""Sessions of ONNX Runtime: known by the model and by the files that hold its weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
from intercept.loading import digest, digest_of_tree, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no model can be made")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: not tested")


def _save(path: Path, **options: Any) -> str:
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(numpy.full((4, 4), 2, numpy.float32), "w")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "doubles", [value[0]], [value[1]], [weights])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, producer_name="tests", opset_imports=opset)
    model.ir_version = 9
    onnx.save(model, str(path), **options)
    return str(path)


def _answer(session: Any) -> Any:
    return session.run(None, {"x": numpy.ones((1, 4), numpy.float32)})[0].tolist()


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "onnxruntime")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        model = _save(path / "m.onnx")
        return {
            "path": lambda: onnxruntime.InferenceSession(model),
            "bytes": lambda: onnxruntime.InferenceSession(Path(model).read_bytes()),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "not there": lambda: onnxruntime.InferenceSession(str(path / "nothing.onnx")),
            "no model": lambda: onnxruntime.InferenceSession(path_or_bytes=b"nothing"),
            "no argument": lambda: onnxruntime.InferenceSession(providers=[]),
        }

    def same(self, one: Any, other: Any) -> bool:
        return type(one) is type(other) and _answer(one) == _answer(other)


def test_a_session_tells_its_inputs_and_its_digest(tmp_path: Path) -> None:
    model = _save(tmp_path / "m.onnx")
    found = loads_of(lambda: onnxruntime.InferenceSession(path_or_bytes=model))
    [load] = found.loaded
    assert (load.what, load.loader) == ("model", "onnxruntime.InferenceSession")
    assert load.facts["inputs"] == {"x": "tensor(float) [1, 4]"}
    assert load.facts["producer"] == "tests"
    assert found.of(load).digest == digest(tmp_path / "m.onnx")


def test_weights_in_another_file_are_part_of_the_model(tmp_path: Path) -> None:
    root = tmp_path / "model"
    root.mkdir()
    _save(
        root / "m.onnx",
        save_as_external_data=True,
        location="some.weights",
        size_threshold=0,
    )
    found = loads_of(lambda: onnxruntime.InferenceSession(str(root / "m.onnx")))
    [load] = found.loaded
    assert found.of(load).digest == digest_of_tree(root, "m.onnx", "some.weights")


def test_a_model_in_memory_is_known_by_its_bytes(tmp_path: Path) -> None:
    model = Path(_save(tmp_path / "m.onnx"))
    found = loads_of(lambda: onnxruntime.InferenceSession(model.read_bytes()))
    [load] = found.loaded
    assert (load.requested, found.of(load).digest) == (None, digest(model))
