"""``instrument run -- COMMAND``: record a command that knows nothing of it."""

import click

from instrument.cli.opening import Options
from instrument.given import MAX_SEED


def _functions(
    context: click.Context,  # noqa: ARG001 - click's signature
    option: click.Parameter,  # noqa: ARG001 - as above
    names: tuple[str, ...],
) -> tuple[str, ...]:
    """Checked here, so that a bad name stops nothing that has begun."""
    if names:
        from instrument.intercept.tracing import module_and_function

        for name in names:
            if module_and_function(name)[0] == "__main__":
                raise click.BadParameter(
                    f"{name} has no module that is imported; trace a function of a module, or call "
                    "instrument.autolog(trace=…) in the script, behind the function"
                )
    return names


@click.command(context_settings={"allow_interspersed_args": False}, options_metavar="[OPTIONS] --")
@click.option("--name", help="What to call the run. [default: the script's or program's name]")
@click.option("--project", help="The group it belongs to.")
@click.option("--level", type=click.IntRange(1, 3), help="How much of the environment to capture.")
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    metavar="S",
    help="Record this seed and start COMMAND with PYTHONHASHSEED=S. The program's generators are "
    "its own to seed: @reproducible(seed=S) or ExperimentContext(seed=S).",
)
@click.option(
    "--backend", "backends", multiple=True, metavar="B", help="A mirror to feed too; repeatable."
)
@click.option("--offline", is_flag=True, help="Not one network call for recording.")
@click.option(
    "--trace",
    "traced",
    multiple=True,
    metavar="FUNCTION",
    callback=_functions,
    help="Record each call of this function of the program's: module:function or "
    "module:Class.method; repeatable.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run(  # noqa: PLR0913 - one parameter for each option
    options: Options,
    name: str | None,
    project: str | None,
    level: int | None,
    seed: int | None,
    backends: tuple[str, ...],
    offline: bool,
    traced: tuple[str, ...],
    command: tuple[str, ...],
) -> int:
    """Run COMMAND and record it.

    Recorded are its code, environment and hardware, and how it ended; of a Python program, with no
    change to it, the models and data that it loads and how it calls models too.

    COMMAND has the terminal to itself and gets the signals; its exit code is the exit code here.
    What it logs through the Python package becomes part of this run, and the options given here
    hold for it too.
    """
    from instrument.cli.recorded import CommandRun, record_command

    context = CommandRun(
        command,
        hash_seed=seed,
        trace=traced,
        name=name,
        project=project,
        capture_level=level,
        offline=True if offline else None,
        backend=["local", *backends] if backends else None,
        store=options.store,
    )
    given = {
        "INSTRUMENT_PROJECT": project,
        "INSTRUMENT_CAPTURE_LEVEL": level,
        "INSTRUMENT_MODE": "offline" if offline else None,
    }
    environment = {name: str(value) for name, value in given.items() if value is not None}
    return record_command(context, environment)
