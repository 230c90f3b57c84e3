"""Where the command begins: which commands there are, and what becomes of an error.

Exit codes: 0 done; 1 the answer is "no"; 2 wrong usage or bad input; 3 it could not be done;
130 interrupted. A command returns its own.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from instrument import __version__
from instrument.cli.opening import Options
from instrument.errors import InstrumentError, QueryError

EXIT_USAGE: Final = 2
EXIT_FAILED: Final = 3
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE: Final = 141

_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
_STORE: Final = click.Path(path_type=Path, readable=False)  # whoever opens it tells more
_COMMANDS: Final = {
    "run": "instrument.cli.run:run",
    "runs": "instrument.cli.runs:runs",
    "artifacts": "instrument.cli.artifacts:artifacts",
    "lineage": "instrument.cli.lineage:lineage",
    "verify": "instrument.cli.verify:verify",
    "repair": "instrument.cli.repair:repair",
    "ledger": "instrument.cli.ledger:ledger",
    "env": "instrument.cli.env:env",
    "doctor": "instrument.cli.doctor:doctor",
    "sync": "instrument.cli.sync:sync",
    "store": "instrument.cli.store:store",
    "export": "instrument.cli.export:export",
    "import": "instrument.cli.import_:import_",
    "gc": "instrument.cli.gc:gc",
    "hold": "instrument.cli.hold:hold",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called (or listed by ``--help``)."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command `cmd_name`, or None."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has gone away (``| head``) ends it quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_PIPE
        return result


@click.group(cls=LazyGroup, context_settings=_CONTEXT)
@click.option("--store", type=_STORE, metavar="PATH", help="The store to use.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="instrument")
@click.pass_obj
def commands(options: Options, store: Path | None, debug: bool) -> None:
    """A flight recorder for machine-learning work.

    A RUN is an id, a unique prefix of one, `latest`, or the name of exactly one run. A REF is an
    artifact: `name`, `name:vN` or `name:alias`. The store is --store, else INSTRUMENT_STORE, else
    `.instrument` at the root of the repository.
    """
    options.store = store
    options.debug = debug


def main() -> None:
    """Entry point: run the command line and exit with its code."""
    _accept_any_text()
    options = Options()
    try:
        code = commands.main(prog_name="instrument", standalone_mode=False, obj=options)
    except Exception as error:
        code = _explain(error, options)
    sys.exit(code)


def _accept_any_text() -> None:
    """Text that a stream cannot encode is shown escaped instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _usage(error: click.UsageError) -> str:
    """How the command is used, where it was given an option or a command that it lacks."""
    if error.ctx is None:
        return ""
    if isinstance(error.ctx.command, click.Group) and error.message.startswith("No such command"):
        return f"; it has {', '.join(error.ctx.command.list_commands(error.ctx))}"
    if not isinstance(error, click.NoSuchOption):
        return ""
    if any(error.option_name in option.opts for option in commands.params):
        return f"; {error.option_name} stands before the command: instrument {error.option_name} …"
    pieces = error.ctx.command.collect_usage_pieces(error.ctx)
    return f"; usage: {' '.join([error.ctx.command_path, *pieces])}"


def _explain(error: Exception, options: Options) -> int:
    """Tell what went wrong on stderr, in one line; the exit code."""
    from instrument.cli import output

    if options.debug and not isinstance(error, click.exceptions.ClickException):
        from instrument.guard import traceback_text

        sys.stderr.write(traceback_text(error))
    match error:
        case click.exceptions.NoArgsIsHelpError():
            output.say(error.format_message())
            return EXIT_USAGE
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "instrument"
            output.fail(f"{error.format_message()} `{where} --help` tells how{_usage(error)}")
            return EXIT_USAGE
        case click.ClickException():
            output.fail(error.format_message())
            return EXIT_USAGE
        case click.Abort():
            return EXIT_INTERRUPTED
        case QueryError():
            output.fail_at(error)
            return error.exit_code
        case InstrumentError():
            output.fail(str(error))
            return error.exit_code
        case OSError():
            output.fail(str(error))
            return EXIT_FAILED
    output.fail(
        f"{type(error).__name__}: {error} (unexpected; `instrument --debug …` shows the traceback)"
    )
    return EXIT_FAILED
