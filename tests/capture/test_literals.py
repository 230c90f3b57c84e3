"""Literals of code: secrets are found under any name that says so, what only sounds so is not."""

import base64
import json

import pytest
from capture.secret_corpus import PLANTED

from instrument.capture.literals import find_secrets, has_settings, holds_secret

# No line of this file holds a whole one: names and values are put together below.
SECRET_NAMES = ("api_key", "HF_TOKEN", "client_secret", "auth", "db.password", "credentials")
ODD_PASSWORDS = (
    "changeme123",
    "hunter22",
    "S3cr3t!pw",
    "p4ss#word",
    "Summer-2024",
    "correct-horse1",
)
PHRASES = ("correct-horse-battery-staple", "abcd-efgh-ijkl-mnop", "let-me-in-right-now")

BENIGN = (
    'tokenizer_token = "bert-base-uncased-tok"',
    'auth="my-auth-provider-name"',
    'secret_sauce = "layer-norm-before-attn"',
    'credentials = "application-default"',
    'api_key = "YOUR_API_KEY_HERE"',
    'api_key = "your-openai-api-key-here"',
    'token = "REPLACE_WITH_TOKEN"',
    'password = "YOUR_PASSWORD_HERE"',
    'password = "<put-your-password-1-here>"',
    'api_key = "xxxxxxxxxxxxxxxxxxxxxxxx"',
    'api_key_name = "HUGGING_FACE_HUB_TOKEN"',
    'token = "cross-attention-output"',
    'auth_class = "myproject.auth.backends.TokenBackend"',
    'auth = "oauth2-client-credentials"',
    'signature = "aws4-hmac-sha256"',
    'credentials = "/home/me/keys/service-account.json"',
    'credentials = "~/.config/gcloud/adc.json"',
    'credentials="configs/secrets/prod"',
    'eos_token = "<|end_of_text_0001|>"',
    'pad_token = "reserved_special_token_12"',
    'eot_token = "end_of_turn_token_id_107"',
    'additional_special_tokens = "extra_id_0_extra_id_1"',
    'tokenizer_token = "Ll4ma-3.1-8B-1nstruct-hf"',
    'token_ids = "input_ids_1_input_ids_2"',
    'token_position = "last_hidden_state_4096"',
    'max_tokens = "4096-tokens-at-most-1"',
    'token_pooling = "mean_over_sequence_128"',
    'secret_key_source = "environment-variable"',
    "auth_token = getAuthTokenFromVault2",
    "token = tokens1-padding2-special3",
    'password = "password"',
    'password = "user name"',
    'password = f"{prefix}-{number:03d}"',
    'password = os.environ["DB_PASSWORD_1"]',
    'password_hash = "pbkdf2_sha256"',
    'forward_pass = "layer-1-to-12"',
    'def log_in(password: str = ""):',
    'url = "https://me:[redacted]@example.org/a"',
    "password = getpass()",
    "password=password",
    "password = password1",
    "password: str",
    "password: Optional[Secret2]",
    "password = hunter2",
    "passwd = args.passwd2",
    'parser.add_argument("--password", type=str)',
    'run(["tool", "--password", password2])',
    'run(f"tool --password {password2}")',
    "tool --password $PASSWORD2",
    "tool --password DB_PASSWORD_2",
    "tool --password-file=/run/secrets/db2",
    "usage: tool --password PASSWORD [--user USER]",
    'pwd = "/home/me1/project2"',
    'PWD = "~/project-12"',
    'first_pass = "layer-1-to-12"',
    'pass_rate = "a1b2c3d4e5"',
    "tool --pwd /home/me12 --pass 12",
    'f("a", password=config_12ab, other="b")',
    'f("password=%s1234" % a, "password={b1234}", "password=$PW_12345", "password=get1234(x)")',
    'x = "password=password1", "password=correct", "compass=north12", "first_pass=a1b2c3"',
    'x = "docker run -u me:group12 image"',
    'x = "curl -u user:password https://example.org"',
    'x = "curl -u {user}:{password1} https://example.org -u $USER:$PASS12"',
    '{"Authorization": "Basic your-token"}',
    '# "Basic training", "Basic building", "basic programmers"',
)


@pytest.mark.parametrize("line", BENIGN)
def test_what_only_sounds_like_a_secret_is_none(line: str) -> None:
    for written in (line, line.replace('"', "'"), f"    {line},  # why"):
        assert not holds_secret(f"x = 1\n{written}\n".encode())


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_secrets_are_found_in_code(kind: str) -> None:
    for name in ("x", *SECRET_NAMES):
        for line in (f'{name} = "{PLANTED[kind]}"', f"cfg['{name}'] = '{PLANTED[kind]}'"):
            assert holds_secret(f"{line}\n".encode()), line


@pytest.mark.parametrize(
    "value", [value[-length:] for value in PLANTED.values() for length in (20,)]
)
def test_values_without_a_form_are_found_by_their_name(value: str) -> None:
    for name in SECRET_NAMES:
        assert holds_secret(f'{name}="{value}"\n'.encode()), value


@pytest.mark.parametrize("value", [*ODD_PASSWORDS, *PHRASES])
@pytest.mark.parametrize(
    "form",
    ['password="{}"', "db_password: str = '{}'", '{{"passwd": "{}"}}', 'c["passwd"] = r"{}"'],
)
def test_passwords_are_found(form: str, value: str) -> None:
    assert holds_secret(form.format(value).encode())


def test_where_a_long_text_is_cut_no_word_begins() -> None:
    word = b"AKIA" + b"ABCDEFGHIJKLMNOP"
    assert not find_secrets(b"x" * 65_536 + word)
    [found] = find_secrets(b"x" * 65_535 + b" " + word)
    assert (found.start, found.end) == (65_536, 65_556)


SPOKEN = (
    'dict(pwd="{}")',
    "dict(pw='{}')",
    '{{"pass": "{}"}}',
    'user_pass = "{}"',
    'raise ValueError("no login with password={} here")',
    "log('db_pwd={}')",
    'x = "a" + "Server=x;UID=me;PWD={};"',
    'x = "curl -u bob:{} https://example.org"',
    'run(["curl", "-u", "bob:{}", url])',
    'x = "wget --user=bob:{} example.org"',
    "tool --pwd {}",
    "tool --pass={}",
)


@pytest.mark.parametrize("form", SPOKEN)
@pytest.mark.parametrize("value", ["S3cretPwd99", "excpw12345"])
def test_short_names_and_what_a_literal_speaks_of(form: str, value: str) -> None:
    line = form.format(value)
    [found] = find_secrets(f"x = 'a'\n{line}\ny = 2\n".encode())
    assert (found.start, found.end) == (8 + line.index(value), 8 + line.index(value) + len(value))
    for source in ([f"{line}\n", "y = 2"], f"y = 2\n{line}"):
        assert holds_secret(json.dumps({"cells": [{"source": source}]}).encode())


@pytest.mark.parametrize(
    ("form", "login"),
    [
        ('{{"Authorization": "Basic {}"}}', b"bob:hunter2"),
        ('x = "Basic {}"', b"bob:hunter2"),
        ("-H 'Proxy-Authorization: Basic {}'", b"no colon 12"),
    ],
)
def test_short_basic_credentials_are_found(form: str, login: bytes) -> None:
    token = base64.b64encode(login).decode()
    text = form.format(token)
    [found] = find_secrets(text.encode())
    assert text[found.start : found.end] == token
    assert not holds_secret(b'x = "Basic %s"' % base64.b64encode(b"no\xff:\0x"))


SETTINGS = (
    "password={}",
    "db_password = {}",
    "  passwd: {}",
    "password: '{}'  # ours",
    'PASSWORD="{}"',
    "export PGPASSWORD={}",
    "ENV DB_PASSWORD={}",
    "      - POSTGRES_PASSWORD={}",
    '"mysql_pwd": {}',
    "pass: {}",
    "pw={}",
)
PLAIN_SETTINGS = (
    "password: ${DB_PASSWORD_1}",
    "password: <your-password-1>",
    "password={{ vault.password2 }}",
    "password: $(cat /run/secrets/db1)",
    "password: DB_PASSWORD",
    "password: null",
    "password:",
    "password: correct",
    "password_min_length: 8-or-9",
    "password_hash: pbkdf2_sha256",
    "password: /run/secrets/db1.txt",
    "password_file: secrets1.txt",
    "first_pass: twice22",
    "PWD=/home/me1",
    "password: your_password_here1",
    "password: changeme",
    "password: [redacted]",
    "num_passes: twice2",
    "pwd: /home/me1",
)


@pytest.mark.parametrize("form", SETTINGS)
@pytest.mark.parametrize("value", ["hunter2", "p4ss#w", *ODD_PASSWORDS])
def test_passwords_in_settings_need_no_quotes(form: str, value: str) -> None:
    line = form.format(value)
    [found] = find_secrets(f"a: 1\n{line}\r\nb: 2\n".encode(), is_settings=True)
    assert (found.start, found.end) == (5 + line.index(value), 5 + line.index(value) + len(value))


@pytest.mark.parametrize("line", PLAIN_SETTINGS)
def test_settings_that_speak_of_passwords_are_kept(line: str) -> None:
    assert not holds_secret(f"a: 1\n{line}\nb: 2\n".encode(), is_settings=True)


@pytest.mark.parametrize("line", ["tool --password hunter2", "tool --db-password=p4ss-wd x"])
def test_short_passwords_behind_flags_are_found(line: str) -> None:
    assert holds_secret(f"{line}\n".encode())


def test_which_files_hold_settings() -> None:
    for name in (b".env.example", b"a/conf.YML", b"run.sh", b"Dockerfile", b"a/my.cnf", b"env"):
        assert has_settings(name), name
    for name in (b"train.py", b"yml.py", b"a.yaml/b.js", b"environment", b"notes.md"):
        assert not has_settings(name), name


@pytest.mark.parametrize("line", BENIGN)
def test_what_only_sounds_like_a_secret_is_none_in_a_notebook_either(line: str) -> None:
    for written in (line, line.replace('"', "'"), f"    {line},  # why"):
        cells = [{"source": [f"x = 1\n{written}\n"]}, {"source": ["x = 1\n", written]}]
        assert not holds_secret(json.dumps({"cells": cells}, indent=1).encode()), written


COMMANDS = (
    "%env API_KEY {}",
    "%set_env API_KEY {}",
    "%env API_KEY = {}",
    "%env API_KEY '{}'",
    "!API_KEY={} python train.py",
    "!export API_KEY={} && python train.py",
    "export API_KEY={}; python train.py",
    "setenv API_KEY {}",
    "set -gx API_KEY {}",
    'setx API_KEY "{}" /M',
    'os.environ["API_KEY"] = "{}"',
    "os.putenv('API_KEY', '{}')",
)


@pytest.mark.parametrize("form", COMMANDS)
def test_what_sets_a_variable_is_found_without_an_equals_sign_too(form: str) -> None:
    value = "q8f5f167f44f4964" + "e6c998dee8271"
    text = f"x = 1\n{form.format(value)}\ny = 2\n"
    [found] = find_secrets(text.encode())
    assert text[found.start : found.end] == value
    assert not holds_secret(form.format("YOUR_API_KEY_HERE").encode())
    assert not holds_secret(form.replace("API_KEY", "RUN_ID").format(value).encode())
    assert not holds_secret(form.format("[redacted]").encode())


@pytest.mark.parametrize("form", ["%env DB_PASSWORD {}", "!export DB_PASSWORD={} && train"])
def test_a_password_that_a_command_sets_needs_no_quotes(form: str) -> None:
    assert holds_secret(form.format("hunter2").encode())
    for benign in ("$SECRET_2", "{password2}", "$(cat pw2)", "secret", ""):
        assert not holds_secret(form.format(benign).encode()), benign


@pytest.mark.parametrize(
    "line",
    ["%env CUDA_VISIBLE_DEVICES 0", "%env API_KEY", "if (!token instanceof Token2Factory1) {",
     "if x!=token1: reset -x token", "export const apiKeyOf1 = readKeyFromVault2(name)"],
)  # fmt: skip
def test_what_sets_no_secret_is_none(line: str) -> None:
    assert not holds_secret(f"x\n{line}\n".encode())


IN_NOTEBOOKS = (
    "%env API_KEY {}",
    '%set_env API_KEY "{}"',
    "!API_KEY={} python train.py",
    'api_key = "{}"',
    "api_key = '{}'",
    'x = {{"api_key": "{}"}}',
    'os.environ["API_KEY"] = "{}"',
    "%env API_KEY={}",
    'parser.add_argument("--api-key", default="{}")',
)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("form", IN_NOTEBOOKS)
def test_secrets_are_found_in_the_escaped_lines_of_a_notebook(form: str, indent: int) -> None:
    value = "a8f5f167f44f4964" + "e6c998dee827110c"
    line = form.format(value)
    for source in ([f"{line}\n", "y = 2"], ["y = 2\n", line], f"y = 2\n{line}\ny = 3", line):
        data = json.dumps({"cells": [{"source": source}], "nbformat": 4}, indent=indent)
        [found] = find_secrets(data.encode())
        assert data[found.start : found.end] == value


DEFAULTS = (
    'parser.add_argument("--api-key", default="{}")',
    "parser.add_argument('--api-key', '-k', help='a key (ours)', default='{}', type=str)",
    'parser.add_argument(\n    "--api-key",\n    default="{}",\n)',
    '@click.option("--db-password", default = "{}")',
    'key = os.environ.get("API_KEY", "{}")',
    "key = os.getenv('API_KEY', default='{}')",
    'os.environ.setdefault("API_KEY", "{}")',
)


@pytest.mark.parametrize("form", DEFAULTS)
def test_what_stands_in_for_a_secret_is_one(form: str) -> None:
    value = "j8f5f167f44f4964" + "e6c998dee8271106"
    text = "x = 1\n" + form.format(value) + "\ny = 2\n"
    [found] = find_secrets(text.encode())
    assert text[found.start : found.end] == value
    lines = [line for line in text.splitlines(keepends=True) if value in line]
    at = text.index(lines[0])
    assert found in find_secrets(text.encode(), at, at + len(lines[0])), "its line alone differs"
    assert not holds_secret(form.format("YOUR_API_KEY_HERE").encode())
    other = form.replace("api-key", "run-id").replace("API_KEY", "RUN_ID")
    assert "password" in form or not holds_secret(other.format(value).encode())
