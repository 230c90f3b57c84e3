"""Code that holds a secret is kept without it: restored, all but the secret is as it was."""

import base64
import hashlib
import json
import os
import re
import tempfile
import zlib
from pathlib import Path

import pytest
from capture.repositories import git, given_back, kept, make_repository, tree
from capture.secret_corpus import BY_VALUE, IN_CONTEXT, PLANTED, parts_of
from hypothesis import HealthCheck, example, given, settings, strategies as st

from instrument.capture.code import Kept
from instrument.capture.manifest import RedactedLines, read_manifest

# In halves, so that this file itself holds none.
SECRETS = {
    b"key = 'sk-" + b"abcdefghijklmnop1234'": b"key = '[redacted API key]'",
    b"AKIA" + b"ABCDEFGHIJKLMNOP": b"[redacted AWS access key]",
    b"x = 'xoxb-" + b"0123456789ab'": b"x = '[redacted Slack token]'",
    b"eyJ" + b"hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk": b"[redacted web token]",
    b"hf_" + b"abcdefghijklmnopqrstuv": b"[redacted Hugging Face token]",
    b"aws_secret_access_key=" + b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE": (
        b"aws_secret_access_key=[redacted]"
    ),
    b'"Authorization": "Bearer ' + b'abcdefgh12345678ijkl"': (
        b'"Authorization": "Bearer [redacted bearer token]"'
    ),
    b'api_key: str = "' + b'abcdefghijklmnop"': b'api_key: str = "[redacted]"',
    b'password="change' + b'me123"': b'password="[redacted]"',
    b"db = 'postgres://me:" + b"s3cr3t99@db.example.org/x'": (
        b"db = 'postgres://me:[redacted password in a URL]@db.example.org/x'"
    ),
    b"curl -u me:" + b"s3cr3t99abcdef x": b"curl -u me:[redacted login] x",
}
TOKEN = b"hf_" + b"abcdefghijklmnopqrstuv"
HIDDEN = "[redacted]"
MARK = b"[redacted Hugging Face token]"
BEGIN, END = b"-----BEGIN RSA PRIVATE" + b" KEY-----", b"-----END RSA PRIVATE" + b" KEY-----"
BODY = [base64.b64encode(hashlib.sha512(bytes([n])).digest())[:64] for n in range(40)]
KEY = [BEGIN, *BODY, END]
KEY_MARK = b"[redacted private key]"
_HUNK = re.compile(rb"(?:literal|delta) \d+\n((?:[A-Za-z][^ \n]+\n)+)\n")


@pytest.fixture(autouse=True)
def no_user_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def all_kept(found: Kept) -> bytes:
    """Every byte that is kept, also what is packed in binary patches."""
    patch = found.objects.get("patch", b"")
    packed = [_unpacked(match[1]) for match in _HUNK.finditer(patch)]
    assert len(packed) == patch.count(b"GIT binary patch\n")
    return b"\n".join([*found.objects.values(), *packed, (found.code.reason or "").encode()])


def _unpacked(lines: bytes) -> bytes:
    data = b""
    for line in lines.splitlines():
        size = line[0] - 64 if line[:1].isupper() else line[0] - 70
        data += base64.b85decode(line[1:])[:size]
    return zlib.decompress(data)


def redacted(found: Kept) -> dict[str, list[RedactedLines]]:
    files = read_manifest(found.objects["manifest"]).files
    return {file.path: list(file.redacted) for file in files if file.redacted}


def lines(first: int, last: int, rule: str) -> RedactedLines:
    return RedactedLines(first_line=first, last_line=last, rule=rule)


def restored(found: Kept, repository: Path, to: Path) -> dict[str, tuple[str, bytes]]:
    """The tree that comes back: each file as the record has it, and by ``git apply`` alone too."""
    back = given_back(found, to, repository)
    assert not back.differing
    by_hand = to.with_name(f"{to.name} by hand")
    git(to.parent, "clone", "--quiet", "--no-local", str(repository), str(by_hand))
    arguments = ("apply", "--unidiff-zero", "--whitespace=nowarn", "-")
    git(by_hand, *arguments, feed=found.objects["patch"])
    assert tree(by_hand) == tree(to)
    return tree(to)


@pytest.mark.parametrize("secret", SECRETS)
def test_t34_what_was_added_is_kept_without_the_secret(tmp_path: Path, secret: bytes) -> None:
    before = {"tracked \xe9.py": b"1\n", "moved.py": b"2\n", "other.py": b"1\n"}
    repository = make_repository(tmp_path / "r", before)
    (repository / "tracked \xe9.py").write_bytes(b"1\n" * 50_000 + secret + b"\nend")
    (repository / "untracked.py").write_bytes(b"\r\n\xff\n    " + secret + b"\r\n")
    (repository / "bare.py").write_bytes(secret)
    (repository / "binary").write_bytes(b"\0\n" + secret + b"\n")
    (repository / "other.py").write_bytes(b"kept\n")
    found = kept(repository)
    assert secret not in all_kept(found)
    expected = tree(repository)
    del expected["binary"]
    mark = SECRETS[secret]
    for name in ("tracked \xe9.py", "untracked.py", "bare.py"):
        expected[name] = ("file", expected[name][1].replace(secret, mark))
    assert restored(found, repository, tmp_path / "back") == expected
    assert {path: [each.span for each in spans] for path, spans in redacted(found).items()} == {
        "tracked \xe9.py": ["50001"], "untracked.py": ["3"], "bare.py": ["1"],
    }  # fmt: skip
    reason = found.code.reason or ""
    assert "left out of the patch: binary (looks like a secret)" in reason
    removed = "bare.py (line 1), tracked \xe9.py (line 50001), untracked.py (line 3)"
    assert f"secrets removed from the patch: {removed}" in reason


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_secret_in_a_wide_text_is_found(tmp_path: Path, encoding: str) -> None:
    """As other programs write them, with a mark in front; a text that holds none comes back."""

    def wide(*rows: bytes) -> bytes:
        return "\r\n".join(["\ufeff\u4e2d\u6587", *(row.decode() for row in rows)]).encode(encoding)

    before = {name: wide(b"old") for name in ("changed.txt", "deleted.txt", "kept.txt")}
    before["deleted.txt"] = wide(TOKEN)
    repository = make_repository(tmp_path / "r", before)
    password = b"hunter" + b"22"
    (repository / "deleted.txt").unlink()
    (repository / "changed.txt").write_bytes(wide(b"old", b"token: " + TOKEN))
    (repository / "settings.ini").write_bytes(wide(b"password = " + password))
    (repository / "cut off.txt").write_bytes(wide(TOKEN) + b"\0")
    late = "\ufeff" + "\u4e2d" * 5000 + TOKEN.decode()  # to git a text: it begins without a zero
    (repository / "late.txt").write_bytes(late.encode(encoding))
    (repository / "kept.txt").write_bytes(wide(b"new", b"password = os.environ"))
    (repository / "new.txt").write_bytes(wide(b"new"))
    found = kept(repository)
    for secret in (TOKEN, password):
        assert wide(secret)[-2 * len(secret) :] not in all_kept(found)
    manifest = read_manifest(found.objects["manifest"])
    left_out = {each.path for each in manifest.left_out}
    assert left_out == {"changed.txt", "settings.ini", "cut off.txt", "late.txt"}
    expected = tree(repository)
    expected["changed.txt"] = ("file", before["changed.txt"])
    for name in ("settings.ini", "cut off.txt", "late.txt"):
        del expected[name]
    assert restored(found, repository, tmp_path / "back") == expected


def test_no_digest_tells_what_was_removed(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a.py": b"1\n"})
    content = b"password = 'sesame" + b"-1'\n"
    (repository / "a.py").write_bytes(content)
    known = [hashlib.sha256(content).hexdigest(), git(repository, "hash-object", "a.py")]
    stored = all_kept(kept(repository))
    assert not any(digest[:7].encode() in stored for digest in known)
    left = hashlib.sha256(b"password = '[redacted]'\n").hexdigest()
    assert f"sha256:{left}".encode() in stored


def test_t34_every_kind_goes_and_every_other_line_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in BY_VALUE.items():
        monkeypatch.setenv(name, value)
    around = {kind: each for kind, each in IN_CONTEXT.items() if re.search("[0-9]", each[1])}
    secrets = {**PLANTED, **{kind: secret for kind, (_, secret) in around.items()}, **BY_VALUE}
    texts = {kind: f'x = "{secret}"' for kind, secret in {**PLANTED, **BY_VALUE}.items()}
    texts |= {kind: text.format(secret) for kind, (text, secret) in around.items()}
    assert len(texts) >= 100
    names = {kind: f"{number}.py" for number, kind in enumerate(texts)}
    repository = make_repository(tmp_path / "r", {"z": b"1\n"})
    for kind, text in texts.items():
        (repository / names[kind]).write_text(f"above = 1\n{text}\nbelow = 2\n")
    found = kept(repository)
    stored = all_kept(found).decode()
    assert not [kind for kind, secret in secrets.items() if parts_of(secret, stored)]
    back = tmp_path / "back"
    assert given_back(found, back, repository).redacted.keys() == set(names.values())
    for name in names.values():
        text = (back / name).read_text()
        assert text.startswith("above = 1\n")
        assert text.endswith("\nbelow = 2\n")
        assert "[redacted" in text
    assert not redacted(kept(back)), "a mark is no secret"


KEYS = {
    "as it is": KEY,
    "CRLF": [line + b"\r" for line in KEY],
    "cut off": KEY[:-1],
    "triple quotes": [b'KEY = """' + KEY[0], *KEY[1:-1], KEY[-1] + b'""".strip()'],
    "YAML": [b"key: |", *(b"  " + line for line in KEY)],
    "strings": [b"KEY = (", *(b'    "' + line + b'\\n"' for line in KEY), b")"],
    "list": [b"KEY = [", *(b"    '" + line + b"'," for line in KEY), b"]"],
    "comment": [b"# " + line for line in KEY],
    "one line": [b'{"key": "' + b"\\n".join(KEY) + b'"}'],
}


@pytest.mark.parametrize("how", KEYS)
def test_a_private_key_goes_whole_and_line_by_line(tmp_path: Path, how: str) -> None:
    repository = make_repository(tmp_path / "r", {"a": b"1\n2\n"})
    written = [b"# it is", *KEYS[how], b"print(1)", b""]
    (repository / "a").write_bytes(b"\n".join([b"1", *written, b"2\n"]))
    (repository / "new").write_bytes(b"\n".join(written))
    found = kept(repository)
    stored = all_kept(found)
    assert not [line for line in BODY if line[8:40] in stored]
    back = restored(found, repository, tmp_path / "back")
    pieces = sorted(set(KEY), key=len, reverse=True)
    for line, left in zip(written, back["new"][1].split(b"\n"), strict=True):
        expected = line
        for piece in pieces:
            expected = expected.replace(piece, KEY_MARK)
        if how == "one line":
            expected = re.sub(rb'": ".*"}', b'": "' + KEY_MARK + b'"}', line)
        assert left in {expected, expected.replace(b"\\n", b"")}
    [of_new] = redacted(found)["new"]
    assert of_new.rule == "private key"
    if how == "as it is":
        assert (of_new.first_line, of_new.last_line) == (2, 43)
        assert redacted(found)["a"] == [lines(3, 44, "private key")]


@pytest.mark.parametrize("at", ["in", "before", "behind", "far behind"])
def test_a_key_that_the_commit_holds_is_no_context(tmp_path: Path, at: str) -> None:
    filler = [b"    x"] * 9
    old = [b"a = 1", *filler, *KEY, *filler, b"    b = 1", b""]
    place = {"in": 30, "before": 9, "behind": 52, "far behind": 60}[at]
    repository = make_repository(tmp_path / "r", {"a.py": b"\n".join(old)})
    (repository / "a.py").write_bytes(b"\n".join([*old[:place], b"    new", *old[place:]]))
    found = kept(repository)
    stored = all_kept(found)
    assert not [line for line in BODY if line[8:40] in stored]
    back = restored(found, repository, tmp_path / "back")["a.py"][1]
    new = KEY_MARK if at == "in" else b"new"
    assert back == (repository / "a.py").read_bytes().replace(b"new", new)
    assert b"\n+    " + new + b"\n" in stored


def test_a_committed_secret_far_from_the_change_costs_no_context(tmp_path: Path) -> None:
    old = [TOKEN, *[b"%d" % number for number in range(20)], b""]
    repository = make_repository(tmp_path / "r", {"a.py": b"\n".join(old)})
    (repository / "a.py").write_bytes(b"\n".join([*old[:15], b"new", *old[15:]]))
    patch = kept(repository).objects["patch"]
    assert b" 13\n+new\n 14\n" in patch


def test_what_takes_a_committed_secret_away_says_nothing_of_it(tmp_path: Path) -> None:
    old = b"one\n" + TOKEN + b"\ntwo\n" + b"same\n" * 9 + b"x = '" + TOKEN + b"'\nthree\nlast"
    names = ("changed", "emptied", "gone", "linked", "made", "replaced", "bare")
    repository = make_repository(tmp_path / "r", dict.fromkeys(names, old))
    (repository / "link").symlink_to(os.fsdecode(TOKEN))
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=link")
    new = old.replace(TOKEN + b"\ntwo", b"2").replace(b"three\n", b"3\n" + TOKEN + b"1\n4\n")
    (repository / "changed").write_bytes(new)
    (repository / "emptied").write_bytes(b"")
    (repository / "gone").unlink()
    (repository / "linked").unlink()
    (repository / "linked").symlink_to("nowhere")
    (repository / "made").write_bytes(b"\0" + b"now binary")
    (repository / "replaced").write_bytes(b"new")
    (repository / "bare").write_bytes(old + b" line\n")
    (repository / "link").unlink()
    (repository / "link").symlink_to("elsewhere")
    (repository / "changed").chmod(0o755)
    found = kept(repository)
    assert TOKEN not in all_kept(found)
    assert redacted(found) == {"changed": [lines(14, 14, "Hugging Face token")]}
    expected = tree(repository)
    kept_secret = new.replace(TOKEN + b"1", MARK)
    expected["changed"] = ("executable", kept_secret)
    assert TOKEN in kept_secret, "an unchanged line comes from the commit"
    assert restored(found, repository, tmp_path / "back") == expected


def test_a_secret_that_is_put_in_the_place_of_another(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a": b"1\n" + TOKEN + b"\n2\n"})
    (repository / "a").write_bytes(b"1\n" + TOKEN + b"x\n2\n")
    found = kept(repository)
    assert TOKEN not in all_kept(found)
    back = restored(found, repository, tmp_path / "back")
    assert back["a"] == ("file", b"1\n" + MARK + b"\n2\n")


def test_a_large_file_and_sha256(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    git(root, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    rows = [b"%d of many lines\n" % number for number in range(60_000)]
    (root / "a").write_bytes(TOKEN + b"\n" + b"".join(rows))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=first")
    rows[30_000:30_001] = [b"new " * 100 + b"\n", TOKEN + b"1\n"]
    (root / "a").write_bytes(b"".join(rows))
    found = kept(root)
    assert TOKEN not in all_kept(found)
    back = restored(found, root, tmp_path / "back")
    assert back["a"] == ("file", b"".join(rows).replace(TOKEN + b"1", MARK))


def test_a_secret_that_only_a_link_or_a_name_holds(tmp_path: Path) -> None:
    name = TOKEN.decode()
    repository = make_repository(tmp_path / "r", {f"gone {name}": b"1\n", "a": TOKEN})
    (repository / "link").symlink_to(name)
    (repository / name).write_bytes(b"x\n")
    (repository / f"gone {name}").unlink()
    (repository / "a").unlink()
    (repository / "a").symlink_to(name)
    found = kept(repository)
    assert TOKEN not in all_kept(found)
    left_out = {
        each.path: each.reason for each in read_manifest(found.objects["manifest"]).left_out
    }
    assert left_out == dict.fromkeys(
        ["a", "link", MARK.decode(), f"gone {MARK.decode()}"], "looks like a secret"
    )


def test_a_file_that_changes_its_mode_alone_is_kept(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a": TOKEN, "b": TOKEN + b" b"})
    (repository / "a").chmod(0o755)
    git(repository, "mv", "b", "c")
    found = kept(repository)
    assert found.code.reason is None
    assert TOKEN not in all_kept(found)
    assert restored(found, repository, tmp_path / "back") == tree(repository)


def test_t34_known_values_in_files_that_are_not_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "pässwörd-eins")
    repository = make_repository(tmp_path / "r")
    for encoding in ("latin-1", "utf-8"):
        (repository / encoding).write_bytes("é = pässwörd-eins # ü\n".encode(encoding))
    found = kept(repository)
    back = restored(found, repository, tmp_path / "back")
    for encoding in ("latin-1", "utf-8"):
        assert back[encoding] == ("file", "é = [redacted] # ü\n".encode(encoding))
        assert redacted(found)[encoding] == [lines(1, 1, "known value")]


def test_t34_short_passwords_in_files_of_settings(tmp_path: Path) -> None:
    line = b"  password: hunter" + b"2\n"
    before = {"conf.yaml": b"a: 1\n" + line, "new.yaml": b"a: 1\n", "taken.ini": line + b"a: 1\n"}
    repository = make_repository(tmp_path / "r", before)
    (repository / "conf.yaml").write_bytes(b"a: 2\n" + line)
    (repository / "new.yaml").write_bytes(b"a: 1\n" + line)
    (repository / "taken.ini").write_bytes(b"a: 1\n")
    found = kept(repository)
    assert b"hunter" not in all_kept(found)
    expected = tree(repository)
    expected["new.yaml"] = ("file", b"a: 1\n  password: [redacted]\n")
    assert restored(found, repository, tmp_path / "back") == expected
    assert redacted(found) == {"new.yaml": [lines(2, 2, "named as a secret")]}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_notebook_is_kept_without_the_secrets_of_its_cells(
    tmp_path: Path, indent: int | None
) -> None:
    key, password = "a8f5f167f44f4964" + "e6c998dee827110c", "Tr0ub4dor" + "3xyzzy"
    cells = [f'api_key = "{key}"\n', f"db_password = '{password}'\n", f'x = "{TOKEN.decode()}"']
    private = ['pem = """', *(f"{line.decode()}\n" for line in KEY[:-1]), f'{END.decode()}"""']
    before = {"cells": [{"source": ["x = 1\n"], "cell_type": "code"}], "nbformat": 4}
    quoted = ["pem = (\n", *(f'    "{line.decode()}\\n"\n' for line in KEY), ")"]
    sources = [cells, "".join(cells), private, quoted]
    notebook = {"cells": [{"source": source} for source in sources]}
    text = json.dumps(before, indent=indent).encode()
    repository = make_repository(tmp_path / "r", {"old.ipynb": text, "taken.ipynb": text})
    for name in ("old.ipynb", "new.ipynb"):
        (repository / name).write_text(json.dumps({**before, **notebook}, indent=indent))
    found = kept(repository)
    stored = all_kept(found)
    planted = (key.encode(), password.encode(), TOKEN, *(line[8:40] for line in BODY))
    assert not [secret for secret in planted if secret in stored]
    back = restored(found, repository, tmp_path / "back")
    for name in ("old.ipynb", "new.ipynb"):
        lines = json.loads(back[name][1])["cells"]
        clean = [f'api_key = "{HIDDEN}"\n', f"db_password = '{HIDDEN}'\n", f'x = "{MARK.decode()}"']
        assert [lines[0]["source"], lines[1]["source"]] == [clean, "".join(clean)]
    assert redacted(found).keys() == {"old.ipynb", "new.ipynb"}


def test_a_notebook_that_a_mark_would_break_is_left_out(tmp_path: Path) -> None:
    line = "db.example.org:5432:base:me:" + "s3cr3t99"
    notebook = json.dumps({"source": [f'x = "{line}"']})
    repository = make_repository(tmp_path / "r", {"a": b"1\n"})
    (repository / "n.ipynb").write_text(notebook)
    found = kept(repository)
    assert b"s3cr3t99" not in all_kept(found)
    assert "left out of the patch: n.ipynb (looks like a secret)" in (found.code.reason or "")


_LINES = st.lists(
    st.sampled_from([b"one\n", b"two\r\n", b"\n", TOKEN + b"\n", b"x = '" + TOKEN + b"'\n", *(
        line + b"\n" for line in (BEGIN, BODY[0], END)
    )]),
    max_size=12,
)  # fmt: skip
_TEXTS = st.tuples(_LINES, st.sampled_from([b"", b"end", TOKEN])).map(
    lambda parts: b"".join([*parts[0], parts[1]])
)


@given(before=_TEXTS, after=_TEXTS)
@example(before=TOKEN, after=b"one\n" + TOKEN)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_change_comes_back_without_what_was_added(before: bytes, after: bytes) -> None:
    check(before, after)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(before=_TEXTS, after=_TEXTS)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_of_many_changes_comes_back_without_what_was_added(before: bytes, after: bytes) -> None:
    check(before, after)


def check(before: bytes, after: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        repository = make_repository(base / "r", {"a": before, "z": b"1\n"})
        (repository / "a").write_bytes(after)
        (repository / "z").write_bytes(b"2\n")
        found = kept(repository)
        assert TOKEN not in all_kept(found)
        left = {each.path for each in read_manifest(found.objects["manifest"]).left_out}
        assert not left
        back = given_back(found, base / "back", repository)
        assert not back.differing
        result = (base / "back" / "a").read_bytes().split(b"\n")
        spans = [
            n
            for each in back.redacted.get("a", ())
            for n in range(each.first_line, each.last_line + 1)
        ]
        for number, (line, was) in enumerate(zip(result, after.split(b"\n"), strict=True), 1):
            assert (line == was) != (number in spans)
            assert (
                line == was
                or line.replace(MARK, b"") == was.replace(TOKEN, b"")
                or KEY_MARK in line
            )
