"""``instrument env``: what would be captured here, and is it what the work needs?"""

from typing import TYPE_CHECKING, Any

import click

from instrument.cli.output import emit_json, say, show
from instrument.cli.restore import restore

if TYPE_CHECKING:
    from instrument.cli.opening import Options


@click.group(invoke_without_command=True)
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
@click.pass_context
def env(  # noqa: PLR0913 - one parameter for each option
    context: click.Context,
    level: int | None,
    packages: tuple[str, ...],
    min_gpu_memory_gb: float | None,
    min_cuda: str | None,
    as_json: bool,
) -> int:
    """Show the environment as a run would capture it, and check it; or restore a run's code.

    Exits with 1 when something that is required is missing.
    """
    if context.invoked_subcommand is not None:
        return 0
    options: Options = context.obj
    from instrument import settings
    from instrument.capture.snapshot import capture_place, capture_snapshot
    from instrument.capture.validate import ConfigCapture

    level = level or settings.resolve(store=options.store).capture_level
    snapshot, health = capture_snapshot(level)
    place, health_of_place = capture_place(level)
    health += health_of_place
    verdict: dict[str, Any] = ConfigCapture().validate_environment(
        required_packages=list(packages),
        min_gpu_memory_gb=min_gpu_memory_gb,
        min_cuda_version=min_cuda,
    )
    if as_json:
        found = {"environment": snapshot, "place": place, "health": health}
        emit_json({**verdict, "level": level, **found})
    else:
        from instrument.cli.environment_page import environment_page

        show(environment_page({**snapshot, **place}, health))
        for kind in ("errors", "warnings"):
            for message in verdict[kind]:
                say(f"{kind.removesuffix('s')}: {message}")
    return 0 if verdict["is_valid"] else 1


env.add_command(restore)
