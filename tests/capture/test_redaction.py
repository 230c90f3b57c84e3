"""Secrets go, everything else stays."""

import pytest
from capture.secret_corpus import BENIGN_COMMANDS, BENIGN_NAMES, COMMANDS, SECRET_VARIABLES

from instrument.redaction import (
    REDACTED,
    is_secret_name,
    printable,
    redact_command,
    redact_text,
    redact_url,
)


def test_the_corpus_is_large_enough() -> None:
    assert len(set(SECRET_VARIABLES)) >= 54
    assert len(set(BENIGN_NAMES)) >= 28


@pytest.mark.parametrize("name", SECRET_VARIABLES)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", BENIGN_NAMES)
def test_benign_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(("argv", "secret"), COMMANDS)
def test_secrets_in_commands(argv: list[str], secret: str) -> None:
    kept = redact_command(argv)
    assert secret not in " ".join(kept)
    assert "[redacted" in " ".join(kept)
    assert kept[0] == argv[0]


@pytest.mark.parametrize("argv", BENIGN_COMMANDS)
def test_benign_commands_stay_as_they_are(argv: list[str]) -> None:
    assert list(redact_command(argv)) == argv


def test_values_of_secret_variables_go_from_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("DB_PASS", "short")
    text = "login failed for 0123456789abcdef0123456789abcdef01234567: shortly"
    assert redact_text(text) == f"login failed for {REDACTED}: shortly"
    assert "0123456789abcdef" not in " ".join(redact_command(["x", text]))


def test_what_follows_a_secret_in_a_text_stays() -> None:
    text = redact_text("password=sesame, lr=0.1; token: 'sesame' steps=3")
    assert "sesame" not in text
    assert "lr=0.1" in text
    assert "steps=3" in text


def test_redacting_twice_changes_nothing_more() -> None:
    for argv, _ in COMMANDS:
        once = redact_command(argv)
        assert redact_command(once) == once


@pytest.mark.parametrize(
    "text",
    ["a" * 10**6, "a-" * 10**6, "eyJ-" * 10**5, "a://" * 10**5, "-----BEGIN PRIVATE KEY" * 10**4,
     "token" * 10**5, "A" * 10**6 + "b", "a=" * 10**5, "Bearer " * 10**5],
)  # fmt: skip
def test_long_texts_take_no_time(text: str) -> None:
    redact_text(text)  # or the test's time limit ends it
    redact_url(text)
    is_secret_name(text)
    redact_command([text])


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a:b@h/p?q=1#f", "https://h/p"),
        ("https://a@b@h/p", "https://h/p"),
        ("https://h/p", "https://h/p"),
        ("file:///srv/a", "file:///srv/a"),
        ("not a url", "not a url"),
        ("", ""),
    ],
)
def test_urls(url: str, kept: str) -> None:
    assert redact_url(url) == kept


def test_undecodable_arguments_are_escaped() -> None:
    assert redact_command([b"a\xff".decode("utf-8", "surrogateescape")]) == ("a\\udcff",)
    assert printable("ü") == "ü"
