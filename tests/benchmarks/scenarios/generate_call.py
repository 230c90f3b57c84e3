"""A model that generates at once, called COUNT times: ``generate_call.py KIND COUNT``.

It stands where transformers has its own and resolves the settings of a call as large as those.
"""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.scenarios.latency import time_batches
from benchmarks.scenarios.tell import tell

SETTINGS = {f"setting_{number}": None for number in range(60)} | {
    "do_sample": False,
    "eos_token_id": [1, 2],
    "max_length": 20,
    "max_new_tokens": 8,
    "num_beams": 1,
    "temperature": 0.4,
}
PROMPTS = SimpleNamespace(shape=(2, 5))
RESULT = SimpleNamespace(shape=(2, 13))


class GenerationMixin:
    """As much of the real one as a call goes through."""

    def __init__(self) -> None:
        self.training = False

    def generate(self, prompts: Any, **settings: Any) -> Any:
        config, _ = self._prepare_generation_config(None, **settings)
        self._prepare_generated_length(
            generation_config=config,
            model_input_name="input_ids",
            input_ids_length=5,
            inputs_tensor=prompts,
        )
        return RESULT

    def _prepare_generation_config(self, config: Any, **settings: Any) -> Any:
        return SimpleNamespace(**SETTINGS), settings

    def _prepare_generated_length(self, *, generation_config: Any, **measures: Any) -> Any:
        return generation_config


def library() -> None:
    """Make the library, as if it had been imported."""
    for name in ("transformers", "transformers.generation", "transformers.generation.utils"):
        sys.modules[name] = ModuleType(name)
    sys.modules["transformers"].__version__ = "5.0.0"  # type: ignore[attr-defined]
    sys.modules["transformers.generation.utils"].GenerationMixin = (  # type: ignore[attr-defined]
        GenerationMixin
    )


def main(kind: str, count: int) -> None:
    library()
    model = GenerationMixin()

    def call(*_: Any) -> None:
        model.generate(PROMPTS)

    if kind == "bare":
        time_batches(call, count)
    else:
        from instrument import ExperimentContext

        with ExperimentContext(name="bench", capture_level=1, monitor_hardware=False):
            time_batches(call, count)
    store = Path(os.environ["BENCH_STORE"])
    size = sum(path.stat().st_size for path in store.rglob("*.jsonl"))
    tell("journal_kb", size / 1000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
