"""T32 to T35: more than a hundred secrets, wherever a run can meet them: none is found in what is
kept, in the store, in packs and bundles, in the ledger or in what a mirror wrote.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
from capture.secret_corpus import BENIGN_TEXTS, BY_VALUE, IN_CONTEXT, PLANTED, parts_of, spellings
from mirroring.wandb_log import decode, run_directories

from instrument.cli.console import printed
from instrument.cli.main import commands
from instrument.cli.retention import policy
from instrument.clock import SystemClock
from instrument.records import EnvironmentCaptured
from instrument.registry import open_store
from instrument_local.packs.zstd import library

PROGRAM = Path(__file__).with_name("planted.py")
CONTEXTS = {kind: text.format(secret) for kind, (text, secret) in IN_CONTEXT.items()}
ONLY_IN_PROGRAM = {"config only": "Opaque-Value-7741", "hidden": "Hidden-Value-9932"}
BARE = {
    **PLANTED,
    **{kind: secret for kind, (_, secret) in IN_CONTEXT.items()},
    **BY_VALUE,
    **ONLY_IN_PROGRAM,
}


def git(directory: Path, *arguments: str) -> None:
    who = ["-c", "user.name=i", "-c", "user.email=i@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run with secrets everywhere left behind: a store and a cache."""
    base = tmp_path_factory.mktemp("planted")
    code, left = base / "code", base / "left"
    code.mkdir()
    left.mkdir()
    (base / "secrets.json").write_text(
        json.dumps({**PLANTED, **CONTEXTS, **BY_VALUE, **ONLY_IN_PROGRAM})
    )
    _repository(code)
    environment = _environment(left)
    arguments = [*_arguments(), f"OPAQUE_KEY={BY_VALUE['OPAQUE_API_KEY']}"]
    command = [sys.executable, "planted.py", str(base / "secrets.json"), str(left / "store")]
    done = subprocess.run(
        [*command, *arguments],
        cwd=code, env=environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert "ValueError: all of" in done.stderr, done.stderr[-2000:]
    assert PLANTED["GitHub classic"] in done.stdout  # the user's own output is left alone
    why = "\n".join(_lines([*PLANTED.values(), *CONTEXTS.values(), *BY_VALUE.values()]))
    shutil.copytree(left / "store", left / "other")
    for store, *arguments in (
        ("store", "runs", "list"),
        ("store", "hold", "set", "latest", "--until", "2030-01-01", "--why", why),
        ("store", "export", "latest", "--output", str(left / "run.bundle"), "--why", why),
        ("other", "store", "pack", "--all"),
    ):
        command = [sys.executable, "-m", "instrument", "--store", str(left / store), *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    return left


def _repository(code: Path) -> None:
    """A repository with secrets in its remotes, branches, changes and untracked files."""
    git(code, "init", "-q", "-b", "main")
    (code / "planted.py").write_bytes(PROGRAM.read_bytes())
    for index in range(len(BARE)):
        (code / f"tracked{index}.py").write_text("a = 1\n")
    git(code, "add", ".")
    git(code, "commit", "-q", "-m", "start")
    for index, secret in enumerate(PLANTED.values()):
        git(code, "remote", "add", f"r{index}", f"https://{secret.replace('/', '')}@example.org/a")
    git(code, "remote", "add", "basic", f"https://me:{BARE['DSN']}@example.org/a?token=x")
    git(code, "checkout", "-q", "-b", f"fix-{PLANTED['GitHub classic']}")
    texts = [*PLANTED.values(), *CONTEXTS.values(), *BY_VALUE.values()]
    for index, text in enumerate(texts):
        (code / f"tracked{index}.py").write_text(f"a = 2  # {text}\n")
        (code / f"untracked{index}.txt").write_text(f"see\n{text}\n")
    (code / "benign.txt").write_text("\n".join(BENIGN_TEXTS))
    (code / "requirements.txt").write_text(f"a @ git+https://{PLANTED['GitLab']}@example.org/a\n")


def _environment(left: Path) -> dict[str, str]:
    planted = {f"HF_NOTE_{index}": text for index, text in enumerate(_lines(CONTEXTS.values()))}
    planted |= {f"NCCL_X{index}": secret for index, secret in enumerate(PLANTED.values())}
    secrets = list(PLANTED.values())
    planted |= {f"SERVICE_{index}_TOKEN": secrets[index] for index in range(0, len(secrets), 3)}
    cache = {"XDG_CACHE_HOME": str(left / "cache"), "WANDB_DIR": str(left)}
    cache |= {"INSTRUMENT_BACKENDS": "local,wandb", "INSTRUMENT_MODE": "offline"}
    package = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    all_of_it = {"INSTRUMENT_CAPTURE_LEVEL": "3"}
    return {**os.environ, **planted, **BY_VALUE, **cache, **package, **all_of_it}


def _arguments() -> Iterator[str]:
    for index, secret in enumerate(PLANTED.values()):
        yield from ((secret,), ("--api-key", secret), (f"--token={secret}",))[index % 3]
    yield from _lines(CONTEXTS.values())
    yield from ("--db-password", BARE["DSN"], "-u", f"me:{BARE['curl']}")


def _lines(texts: Iterable[str]) -> list[str]:
    return [text.replace("\0", "") for text in texts]


@pytest.fixture(scope="module")
def texts(kept: Path) -> list[tuple[str, str]]:
    """Every file that was left, unpacked, by its name; and the names."""
    found = []
    for path in kept.rglob("*"):
        name = str(path.relative_to(kept))
        data = _unpacked(path.read_bytes()) if path.is_file() else b""
        found.append((name, f"{path.name} {data.decode('utf-8', 'replace')}"))
    [mirrored] = run_directories(kept)
    records = b"".join(record.SerializeToString() for record in decode(mirrored))
    return [*found, ("wandb's records", records.decode("utf-8", "replace"))]


def _unpacked(data: bytes) -> bytes:
    """`data`, with what in it is compressed as it was before."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    before, magic, _ = data.partition(b"\x28\xb5\x2f\xfd")
    if not magic:
        return data
    frame = library().ZstdDecompressor()
    return before + bytes(frame.decompress(data[len(before) :])) + _unpacked(frame.unused_data)


def test_the_run_met_them_all(kept: Path) -> None:
    [run] = open_store("local", kept / "store", SystemClock()).runs()
    assert run.params["model"] == "gpt2"
    assert run.params["lr"] == 0.1
    assert run.params["shown"] == "[redacted]"
    assert sum("[redacted" in tag for tag in run.tags) >= 20
    assert sum("[redacted" in argument for argument in run.command) >= 60


def test_everything_that_keeps_a_run_is_looked_at(texts: list[tuple[str, str]]) -> None:
    holders = [name for name, text in texts if "gpt2" in text]
    for place in ("store/runs/", "other/packs/", "run.bundle", "wandb's records"):
        assert any(name.startswith(place) for name in holders), place
    events = [text for name, text in texts if name.startswith("store/ledger/")]
    for event in ("hold_changed", "exported"):
        assert any(event in text and "[redacted" in text for text in events), event


def test_the_environment_and_its_lock_files_are_looked_at(kept: Path) -> None:
    store = open_store("local", kept / "store", SystemClock())
    [run] = store.runs()
    records = (entry.record for entry in store.entries(run.id))
    [captured] = [each for each in records if isinstance(each, EnvironmentCaptured)]
    assert captured.snapshot is not None
    variables = json.loads(store.get_bytes(captured.snapshot))["variables"]
    for name in (f"NCCL_X{index}" for index in range(len(PLANTED))):
        assert "[redacted" in variables["values"][name], name
    assert {f"HF_NOTE_{index}" for index in range(len(CONTEXTS))} <= variables["values"].keys()
    assert "SERVICE_0_TOKEN" in variables["redacted"]
    lock_file = store.get_bytes(captured.files["requirements.txt"]).decode()
    assert lock_file.startswith("a @ git+https://")
    assert "[redacted" in lock_file


@pytest.mark.parametrize("kind", BARE)
def test_t32_to_t35_no_secret_is_left(texts: list[tuple[str, str]], kind: str) -> None:
    written = {spelling for spelling in spellings(BARE[kind]) if len(spelling) > 7}
    if "\n" not in BARE[kind] and kind not in BY_VALUE:
        written |= {BARE[kind][-max(len(BARE[kind]) // 2, 10) :]}
    found = [
        (name, text[max(text.find(part) - 80, 0) : text.find(part) + 120])
        for name, text in texts
        for part in written
        if part in text
    ]
    assert not found, found[:2]


def _commands(command: click.Command | None) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name))
    elif command is not None:
        yield command


def test_what_the_ledger_is_told_has_no_secrets() -> None:
    secret = PLANTED["GitHub classic"]
    reasons = [
        option.process_value(click.Context(command), f"because of {secret}")
        for command in _commands(commands)
        for option in command.params
        if option.name == "why"
    ]
    assert len(reasons) >= 8
    assert set(reasons) == {"because of [redacted GitHub token]"}
    rule = policy(where=f"params.note == '{secret}'", keep=["tagged"]).text
    assert "[redacted" in rule
    assert secret not in rule


def test_what_was_printed_is_there_without_them(kept: Path) -> None:
    store = open_store("local", kept / "store", SystemClock())
    [run] = store.runs()
    text = "".join(part.text for part in printed(store, run.id))
    assert text.count("here is") >= 100
    assert text.count("[redacted") >= 300
    assert not any(parts_of(secret, text) for secret in PLANTED.values())


def test_benign_texts_are_kept(tmp_path: Path) -> None:
    from instrument import ExperimentContext

    benign = {f"p{index}": text for index, text in enumerate(BENIGN_TEXTS)}
    with ExperimentContext(benign, store=tmp_path, tags=BENIGN_TEXTS) as run:
        run.log_artifact("a", "dataset", data={}, metadata=benign)
        print()
    store = open_store("local", tmp_path, SystemClock())
    [found] = store.runs()
    assert found.params == benign
    assert set(found.tags) == set(BENIGN_TEXTS)
    [version] = store.artifacts("a")
    assert version.metadata == benign
