"""What a model was when data was made with it: measured, not typed by hand.

    loader = CleanModelLoader("Qwen/Qwen2.5-7B", quantization="nf4")
    model, tokenizer, provenance = loader.load()
    text = loader.generate("The capital of France is", max_new_tokens=20, do_sample=False)
    metadata = create_artifact_metadata(
        provenance, __file__, "training_data", **loader.last_generation
    )

`docs/clean-loading.md` tells what is checked and what each field means.
"""

from instrument.provenance.code import check_git_dirty, get_git_branch, get_git_sha
from instrument.provenance.loader import CleanModelLoader
from instrument.provenance.metadata import create_artifact_metadata
from instrument.provenance.sentinels import SENTINELS, Sentinel

__all__ = [
    "SENTINELS",
    "CleanModelLoader",
    "Sentinel",
    "check_git_dirty",
    "create_artifact_metadata",
    "get_git_branch",
    "get_git_sha",
]
