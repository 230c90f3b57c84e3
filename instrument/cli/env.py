"""``instrument env``: what would be captured here, and is it what the work needs?"""

from typing import Any

import click

from instrument.cli.opening import Options
from instrument.cli.output import emit_json, say, show


@click.command()
@click.option("--level", type=click.IntRange(1, 3), help="1 basic, 2 standard, 3 complete.")
@click.option(
    "--require",
    "packages",
    multiple=True,
    metavar="PKG",
    help="A package that must be there, such as torch or 'torch>=2.2'; repeatable.",
)
@click.option("--min-gpu-memory-gb", type=float, metavar="N", help="Memory that a GPU must have.")
@click.option("--min-cuda", metavar="V", help="Oldest CUDA version that will do.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def env(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    level: int | None,
    packages: tuple[str, ...],
    min_gpu_memory_gb: float | None,
    min_cuda: str | None,
    as_json: bool,
) -> int:
    """Show the environment as a run would capture it, and check it.

    Exits with 1 when something that is required is missing.
    """
    from instrument import settings
    from instrument.capture.snapshot import capture_snapshot
    from instrument.capture.validate import ConfigCapture

    level = level or settings.resolve(store=options.store).capture_level
    snapshot, health = capture_snapshot(level)
    verdict: dict[str, Any] = ConfigCapture().validate_environment(
        required_packages=list(packages),
        min_gpu_memory_gb=min_gpu_memory_gb,
        min_cuda_version=min_cuda,
    )
    if as_json:
        emit_json({**verdict, "level": level, "environment": snapshot, "health": health})
    else:
        from instrument.cli.environment_page import environment_page

        show(environment_page(snapshot, health))
        for kind in ("errors", "warnings"):
            for message in verdict[kind]:
                say(f"{kind.removesuffix('s')}: {message}")
    return 0 if verdict["is_valid"] else 1
