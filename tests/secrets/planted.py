"""A program that has secrets wherever a run can meet them; run by test_planted_secrets.py."""

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

from instrument import ExperimentContext, track_artifacts

SECRETS: dict[str, str] = json.loads(Path(sys.argv[1]).read_text("utf-8"))


class Hidden:
    """A secret that shows itself by asking only, as pydantic's does."""

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "**********"


@dataclasses.dataclass
class Hub:
    token: str
    url: str


@track_artifacts()
def train(text: str, api_key: str, *rest: Any, **more: Any) -> None:
    raise RuntimeError(f"cannot log in: {text} and {more}")


def main() -> None:
    texts = list(SECRETS.values())
    opaque = SECRETS["config only"]
    config = {
        "lr": 0.1,
        "model": "gpt2",
        "nested": [{"text": text, "deep": {"list": [text]}} for text in texts],
        "hub": Hub(texts[0], f"https://me:{opaque}@example.org"),
        "password": opaque,
        "shown": Hidden(SECRETS["hidden"]),
        "parsed": argparse.Namespace(api_key=opaque, note=texts[1]),
        "written": repr(Hub(texts[2], opaque)),
        texts[3]: 1,
    }
    with ExperimentContext(
        config, name=f"run {texts[4]}", project=texts[5], tags=texts, store=sys.argv[2]
    ) as run:
        run.log_params({f"p{index}": text for index, text in enumerate(texts)})
        run.log_params(argparse.Namespace(api_key=texts[0], argv=["--token", opaque]))
        run.log_metrics({f"loss {texts[6]}": 0.5}, step=0)
        run.log_artifact(
            "data", "dataset", data={"rows": 3}, metadata={"notes": texts, "api_key": opaque}
        )
        for text in texts:
            print("here is", text)
            print(text, file=sys.stderr)
            logging.getLogger().warning("logged %s", text)
            half = len(text) // 2
            print(text[:half], end="", flush=True)
            print(text[half:])
            run.problem(f"use {text}", ValueError(f"no {text}"))
        with run.phase(texts[7].replace("/", "")[:150]):
            pass
        print("known by value:", opaque, SECRETS["hidden"])
        try:
            train(texts[8], opaque, *texts, more=dict(enumerate(texts)))
        except RuntimeError as error:
            print(error)
        raise ValueError(f"all of {texts}")


main()
