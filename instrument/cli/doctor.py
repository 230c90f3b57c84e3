"""``instrument doctor``: does this machine record, and if not, why?"""

import click
import msgspec

from instrument.cli.opening import Options
from instrument.cli.output import Cell, emit_json, show, table, text

_STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "failed": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def doctor(options: Options, as_json: bool) -> int:
    """Check that recording works on this machine.

    Looks at the store, its file system, the backends, git, the GPU and the optional libraries.

    Exits with 1 when something that recording needs does not work.
    """
    from instrument.cli.checkup import check_up

    checks = check_up(options)
    ok = all(check.status != "failed" for check in checks)
    if as_json:
        emit_json({"ok": ok, "checks": [msgspec.structs.asdict(check) for check in checks]})
        return 0 if ok else 1
    rows: list[list[Cell]] = [
        [check.name, text(check.status, _STYLES[check.status]), check.detail, check.hint or ""]
        for check in checks
    ]
    show(table(["", "", "found", "what to do"], rows))
    return 0 if ok else 1
