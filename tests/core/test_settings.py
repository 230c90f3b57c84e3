from pathlib import Path

import pytest

from instrument import settings
from instrument.errors import UsageError


def write_project(text: str) -> None:
    Path("pyproject.toml").write_text(text, encoding="utf-8")


def test_arguments_beat_environment_beats_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_project("[tool.instrument]\nproject = 'file'\ncapture_level = 1\nunknown = 1\n")
    assert settings.resolve().project == "file"
    assert settings.resolve().capture_level == 1
    monkeypatch.setenv("INSTRUMENT_PROJECT", "environment")
    assert settings.resolve().project == "environment"
    assert settings.resolve(project="argument").project == "argument"


def test_the_store_stands_at_the_root_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INSTRUMENT_STORE")
    (Path.cwd() / ".git").mkdir()
    root = Path.cwd()
    inner = root / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert settings.resolve().store == root / ".instrument"


def test_a_store_named_in_the_file_is_relative_to_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("INSTRUMENT_STORE")
    write_project("[tool.instrument]\nstore = 'records'\n")
    root = Path.cwd()
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    assert settings.resolve().store == root / "records"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("INSTRUMENT_MODE", "of line", "mode 'of line' is unknown"),
        ("INSTRUMENT_CAPTURE_LEVEL", "all", "is not a capture level"),
        ("INSTRUMENT_CAPTURE_LEVEL", "7", "capture level 7 is unknown"),
        ("INSTRUMENT_STRICT", "maybe", "neither true nor false"),
    ],
)
def test_unusable_values_say_where_they_came_from(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=reason):
        settings.resolve()


def test_a_broken_project_file_is_a_usage_error() -> None:
    write_project("[tool.instrument\n")
    with pytest.raises(UsageError, match="does not parse"):
        settings.resolve()


def test_backends_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_BACKENDS", "local, wandb,")
    assert settings.resolve().backends == ("local", "wandb")


def test_doctor_shows_what_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from instrument.cli.checkup import check_up
    from instrument.cli.opening import Options

    def unread() -> list[str]:
        return [check.detail for check in check_up(Options()) if check.name == "unread settings"]

    write_project("[tool.instrument]\nmode = 'offline'\n")
    assert unread() == []
    write_project("[tool.instrument]\nmod = 'offline'\n")
    monkeypatch.setenv("INSTRUMENT_STOER", "/data")
    variable, name = unread()
    assert "INSTRUMENT_STOER (did you mean INSTRUMENT_STORE?)" in variable
    assert "mod (did you mean mode?) in [tool.instrument]" in name
