"""Loads by diffusers: a pipeline is one record with its parts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from intercept.loading import digest, digest_of_tree, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: not tested")
pytestmark = pytest.mark.filterwarnings("ignore")  # of its own and of its dependencies


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline of two parts."""
    root = tmp_path_factory.mktemp("diffusers") / "ddpm"
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDPMScheduler()).save_pretrained(root)
    return root


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "diffusers")

    @pytest.fixture(autouse=True)
    def _saved(self, saved: Path) -> None:
        self.saved = saved

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "pipeline": lambda: diffusers.DDPMPipeline.from_pretrained(self.saved).unet,
            "any pipeline": lambda: diffusers.DiffusionPipeline.from_pretrained(self.saved).unet,
            "model": lambda: diffusers.UNet2DModel.from_pretrained(self.saved, subfolder="unet"),
        }

    def concurrent_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        model = diffusers.UNet2DModel  # it would patch torch meanwhile to save memory
        options = {"subfolder": "unet", "low_cpu_mem_usage": False}
        return {"model": lambda: model.from_pretrained(self.saved, **options)}

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {"nothing there": lambda: diffusers.UNet2DModel.from_pretrained(path)}

    def same(self, one: Any, other: Any) -> bool:
        weights, others = one.state_dict(), other.state_dict()
        return all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_pipeline_is_one_load_with_its_parts(saved: Path) -> None:
    found = loads_of(lambda: diffusers.DDPMPipeline.from_pretrained(saved))
    [load] = found.loaded
    assert (load.what, load.loader) == ("model", "diffusers.DDPMPipeline.from_pretrained")
    assert load.facts["parts"] == {"unet": "UNet2DModel", "scheduler": "DDPMScheduler"}
    assert load.facts["parameters"] == 17609
    names = [str(path.relative_to(saved)) for path in saved.rglob("*.*")]
    assert len(names) == 4
    assert found.of(load).digest == digest_of_tree(saved, *names)
    assert not found.problems


def test_a_part_alone_is_a_load(saved: Path) -> None:
    found = loads_of(
        lambda: (
            diffusers.UNet2DModel.from_pretrained(saved, subfolder="unet"),
            diffusers.DDPMScheduler.from_pretrained(saved, subfolder="scheduler"),
        )
    )
    unet, scheduler = found.loaded
    assert (unet.what, unet.facts["asked"]) == ("model", {"subfolder": "unet"})
    assert found.files(unet) == {
        name: digest(saved / name)
        for name in ("unet/config.json", "unet/diffusion_pytorch_model.safetensors")
    }
    assert (scheduler.what, scheduler.facts["class_name"]) == ("config", "DDPMScheduler")
    assert found.of(scheduler).digest == digest(saved / "scheduler" / "scheduler_config.json")
