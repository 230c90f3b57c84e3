"""Secrets go, everything else stays."""

import pytest
from capture.secret_corpus import (
    BENIGN_COMMANDS,
    BENIGN_NAMES,
    BENIGN_TEXTS,
    BY_VALUE,
    COMMANDS,
    HOSTILE,
    IN_CONTEXT,
    PLANTED,
    SECRET_VARIABLES,
    parts_of,
    spellings,
)

from instrument.capture.literals import holds_secret
from instrument.redaction import (
    REDACTED,
    is_secret_name,
    printable,
    redact_command,
    redact_plain,
    redact_text,
    redact_url,
)
from instrument.redaction.kept import redact_texts


def test_the_corpus_is_large_enough() -> None:
    assert len(set(SECRET_VARIABLES)) >= 54
    assert len(set(BENIGN_NAMES)) >= 28


@pytest.mark.parametrize("name", SECRET_VARIABLES)
def test_t32_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", BENIGN_NAMES)
def test_benign_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(("argv", "secret"), COMMANDS)
def test_t32_secrets_in_commands(argv: list[str], secret: str) -> None:
    kept = redact_command(argv)
    assert secret not in " ".join(kept)
    assert "[redacted" in " ".join(kept)
    assert kept[0] == argv[0]


@pytest.mark.parametrize("argv", BENIGN_COMMANDS)
def test_benign_commands_stay_as_they_are(argv: list[str]) -> None:
    assert list(redact_command(argv)) == argv


def test_t32_values_of_secret_variables_go_from_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_t33_urls(url: str, kept: str) -> None:
    assert redact_url(url) == kept


def test_undecodable_arguments_are_escaped() -> None:
    assert redact_command([b"a\xff".decode("utf-8", "surrogateescape")]) == ("a\\udcff",)
    assert printable("ü") == "ü"


def test_the_planted_secrets_are_many() -> None:
    assert len(PLANTED) + len(IN_CONTEXT) + len(BY_VALUE) >= 100
    assert len(set(BENIGN_TEXTS)) >= 60


@pytest.mark.parametrize(
    "around", ["{}", "x {} y", "'{}'", "a={}&b=1", "<{}>", r"text\n{}\n", "%3D{}"]
)
@pytest.mark.parametrize("kind", PLANTED)
def test_tokens_are_known_by_their_form(kind: str, around: str) -> None:
    kept = redact_text(around.format(PLANTED[kind]))
    assert not parts_of(PLANTED[kind], kept), kept
    assert "[redacted" in kept


@pytest.mark.parametrize("around", ["{}", "x\n{}\ny", "log: {}"])
@pytest.mark.parametrize("kind", IN_CONTEXT)
def test_secrets_that_their_context_tells(kind: str, around: str) -> None:
    text, secret = IN_CONTEXT[kind]
    kept = redact_text(around.format(text.format(secret)))
    assert not parts_of(secret, kept), kept
    assert "[redacted" in kept
    assert redact_text(kept) == kept


@pytest.mark.parametrize("text", BENIGN_TEXTS)
def test_benign_texts_stay(text: str) -> None:
    assert redact_text(text) == text
    assert redact_text(f"a {text}\nb") == f"a {text}\nb"


@pytest.mark.parametrize("name", BY_VALUE)
def test_known_values_in_any_spelling(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, BY_VALUE[name])
    for written in spellings(BY_VALUE[name]):
        assert written not in redact_text(f"see {written} there"), written
        assert redact_text("nothing of the kind") == "nothing of the kind"


@pytest.mark.parametrize("value", ["1", "true", "x" * 7, "password", "enabled1", "/run/secrets/a",
                                   "aaaaaaaaaaaaaaaaaaaa", "12345678"])  # fmt: skip
def test_weak_values_do_not_wipe_texts(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", value)
    text = f"a{value}b is 1, true, {value}0 and more"
    assert redact_text(text) == text


def test_what_a_configuration_holds_is_known_from_then_on() -> None:
    secret = "Quite-Opaque-7731-value"  # noqa: S105 - made up
    assert redact_text(f"connected with {secret}") == f"connected with {secret}"
    assert redact_plain({"a": [{"db_password": secret}]}) == {"a": [{"db_password": REDACTED}]}
    assert redact_text(f"connected with {secret}") == f"connected with {REDACTED}"


def test_a_text_that_was_clean_is_searched_again_when_more_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "the engine is Rk9-tantalus-Vb2"
    assert redact_text(text) == redact_text(text) == text
    monkeypatch.setenv("ENGINE_TOKEN", "Rk9-tantalus-Vb2")
    assert redact_text(text) == f"the engine is {REDACTED}"


def test_a_secret_is_known_in_what_follows_it_in_the_same_record() -> None:
    note = "the engine is Hw4-sisyphus-Qn7"
    assert redact_texts({"note": note}) == {"note": note}
    safe = redact_texts({"argv": ["train", "--token", "Hw4-sisyphus-Qn7"], "note": note})
    assert safe == {"argv": ["train", "--token", REDACTED], "note": f"the engine is {REDACTED}"}


def test_switches_and_fractions_are_no_secrets() -> None:
    plain = {"use_auth_token": True, "token_share": 0.25, "auth": None, "password": ""}
    assert redact_plain(plain) == plain


def test_numbers_and_directories_are_no_secrets_under_a_short_name() -> None:
    plain = {"pass": 3, "pw": 7, "user_pass": 2, "PASS": "3", "pwd": "/home/me", "PWD": "/a b/c1"}
    plain |= {"pass_rate": "a1b2c3d4", "first_pass": "a1b2c3d4", "OLDPWD": "~/a1b2c3"}
    assert redact_plain(plain) == plain
    secret = {"pass": "passparam11", "pwd": "pwdparam22", "pw": "pwparam44", "db-pw": "/a1b2c3"}
    secret |= {"PWD": "pwdparam33", "user_pass": "x", "pw ": "12345678"}
    assert redact_plain(secret) == dict.fromkeys(secret, REDACTED)


@pytest.mark.parametrize(
    "text",
    ["pwd={}", "{{'pw': '{}'}}", "user=me pass={} port=1", "pass: {}", "Server=x;UID=me;PWD={};",
     "curl -u bob:{} https://example.org", "see --pwd {} there"],
)  # fmt: skip
def test_short_names_in_what_is_printed(text: str) -> None:
    kept = redact_text(text.format("tr0ub4dor2"))
    assert kept == text.format(REDACTED)


def test_words_under_a_short_name_do_not_wipe_texts() -> None:
    assert redact_plain({"pass": "forward_backward_pass"}) == {"pass": REDACTED}
    assert redact_text("in forward_backward_pass") == "in forward_backward_pass"


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.timeout(60)
def test_a_megabyte_of_anything_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    redact_text(text)  # or the test's time limit ends it: quadratic time would be hours
    holds_secret(text.encode())


@pytest.mark.parametrize(
    "unit", ["\\'pwd=a1b2c3 ", "curl -u a:b1c2d3 ", "basic YTpiOm ", '"\\"pw=']
)
def test_what_is_looked_at_with_its_line_takes_linear_time_too(unit: str) -> None:
    holds_secret((unit * 2000).encode())
