"""The options that the scripts share, and the run that they open with them."""

import argparse
from typing import Any

from instrument import ExperimentContext


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with the shared options.

    Args:
        description: What the script does; its first line is shown.
        name: What its runs are called unless ``--exp-name`` says otherwise.
    """
    result = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    result.add_argument("--exp-name", default=name, help="what to call the run (%(default)s)")
    result.add_argument(
        "--capture-level",
        type=int,
        choices=(1, 2, 3),
        default=2,
        help="how much of the environment to record (%(default)s)",
    )
    result.add_argument("--offline", action="store_true", help="use no network at all")
    return result


def open_run(args: argparse.Namespace, tags: tuple[str, ...] = ()) -> ExperimentContext:
    """The run of a script, with its options as parameters."""
    about_the_recording = {"exp_name", "capture_level", "offline"}
    config: dict[str, Any] = {
        name: value for name, value in vars(args).items() if name not in about_the_recording
    }
    return ExperimentContext(
        config,
        name=args.exp_name,
        tags=tags,
        capture_level=args.capture_level,
        offline=args.offline or None,
        seed=config.get("seed"),
    )
