"""``instrument gc`` as its users have it."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli.support import Cli
from upkeep.keeping import (
    add_version,
    grow_old,
    run_id,
    runs_with_checkpoints,
    scope,
    store_at,
    there,
)

from instrument import ArtifactManager, ExperimentContext
from instrument.cli.retention import keep_rule, seconds
from instrument.errors import NotFoundError, UsageError
from instrument.naming import parse_reference
from instrument_local import LocalStore

BEST = ("--type", "checkpoint", "--keep", "best=1:metrics.loss:min")


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    store = store_at(store_path)
    runs_with_checkpoints(store)
    return store


def test_without_a_rule_nothing_goes_and_the_ways_are_told(store: LocalStore, cli: Cli) -> None:
    store.put_bytes(b"nobody's")
    grow_old(store)
    told = cli("gc")
    assert told.code == 0
    assert "checkpoint         4              4" in told.out
    assert "unreferenced: 1 object, 8 B" in told.out
    assert "--unreferenced" in told.err
    assert len(there(store, store.artifacts())) == 4
    assert cli("gc", "--json").json["objects"] == 1


def test_a_dry_run_tells_what_goes_and_why(store: LocalStore, cli: Cli) -> None:
    told = cli("gc", *BEST, "--dry-run")
    assert told.code == 0
    for words in ("ckpt:v2", "ckpt:v3", "ckpt:v4", " ".join(BEST), "3 objects, 27 B would go"):
        assert words in told.out
    assert "kept by best=1:metrics.loss:min: 1" in told.out
    plan = cli("gc", *BEST, "--dry-run", "--json").json
    assert (plan["dry_run"], plan["objects"], plan["size_bytes"]) == (True, 3, 27)
    assert [drop["subject"] for drop in plan["drops"]] == ["ckpt:v2", "ckpt:v3", "ckpt:v4"]
    assert len(there(store, store.artifacts())) == 4


def test_a_rule_whose_name_nothing_has_is_told(store: LocalStore, cli: Cli) -> None:
    for rule in ("alias=bset", "best=1:metrics.lsos:min"):
        told = cli("gc", "--type", "checkpoint", "--keep", rule, "--dry-run")
        assert told.err == f"hint: --keep {rule} keeps nothing; see that its name is right\n"
    assert cli("gc", *BEST, "--dry-run").err == ""


MISNAMED = [("alias=bset", "the alias 'bset'"), ("best=1:metrics.lsos:min", "the metric 'lsos'")]


@pytest.mark.parametrize(("rule", "what"), MISNAMED)
@pytest.mark.parametrize("how", [("--yes",), ("--yes", "--json", "--grace", "0"), ("tagged",)])
def test_a_rule_whose_name_nothing_has_is_refused_before_anything_goes(
    store: LocalStore, cli: Cli, rule: str, what: str, how: tuple[str, ...]
) -> None:
    """Also beside other rules, which keep less than was meant."""
    more = ("--keep", "tagged", "--yes") if how == ("tagged",) else how
    refused = cli("gc", "--type", "checkpoint", "--keep", rule, *more)
    error = refused.err.splitlines()[-1]
    assert (refused.code, refused.out) == (2, "")
    assert error.startswith(f"error: --keep {rule} keeps nothing: of all of type checkpoint that")
    assert f"nothing has {what}; nothing was removed: see that the name is right" in error
    assert "--dry-run" in error
    assert len(there(store, store.artifacts())) == 4


def test_a_rule_whose_name_nothing_has_is_refused_before_it_asks(store: LocalStore) -> None:
    ours, theirs = pty.openpty()
    rules = ["--type", "checkpoint", "--keep", "alias=bset"]
    command = [sys.executable, "-m", "instrument", "gc", *rules]
    child = subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    assert child.communicate(timeout=60)[0] == b""
    assert child.returncode == 2
    assert b"keeps nothing" in os.read(ours, 10_000)
    os.close(ours)
    assert len(there(store, store.artifacts())) == 4


def test_a_policy_whose_rule_names_nothing_is_refused_with_all_others(
    store: LocalStore, cli: Cli
) -> None:
    """Though another policy has a rule of the same words that keeps something."""
    add_version(store, "report", b"text", run=run_id(99), type="evaluation", days=40)
    grow_old(store)
    Path("pyproject.toml").write_text(
        """
        [[tool.instrument.retention]]
        type = "checkpoint"
        keep = "best=1:metrics.loss:min"
        [[tool.instrument.retention]]
        type = "evaluation"
        keep = ["best=1:metrics.loss:min"]
        """
    )
    refused = cli("gc", "--policies", "--yes")
    assert refused.code == 2
    assert "of all of type evaluation that may go, and whose bytes are here" in refused.err
    assert "nothing has the metric 'loss'" in refused.err
    assert len(there(store, store.artifacts())) == 5
    told = cli("gc", "--policies", "--dry-run", "--json")
    assert (told.code, told.json["objects"]) == (0, 4)
    assert told.err.count("hint: --keep best=1:metrics.loss:min keeps nothing") == 1


def test_where_nothing_is_selected_there_is_nothing_to_refuse(
    store: LocalStore, store_path: Path, cli: Cli
) -> None:
    rule = ("--keep", "best=1:metrics.lsos:min", "--keep", "alias=bset", "--yes")
    assert cli("gc", "--older-than", "900d", *rule).err == "nothing goes\n"
    told = cli("gc", "--type", "chekpoint", *rule)
    assert (told.code, told.err.splitlines()) == (
        0,
        [
            "hint: nothing has --type chekpoint; there are capture, checkpoint",
            "nothing goes",
        ],
    )
    grow_old(store, days=0.1)
    young = cli("gc", "--type", "checkpoint", *rule)
    assert (young.code, young.err) == (0, "nothing goes; too young for --grace: 4 objects\n")
    empty = cli("--store", store_path.with_name("other"), "gc", "--type", "checkpoint", *rule)
    assert "keeps nothing" not in empty.err


def test_a_type_that_some_have_is_no_typo(store: LocalStore, cli: Cli) -> None:
    rules = ("--keep", "tagged", "--dry-run")
    for name in ("checkpoint", "capture"):
        assert cli("gc", "--type", name, *rules).err == ""
    told = cli("gc", "--type", "checkpoint", "--type", "modle", *rules).err
    assert told == "hint: nothing has --type modle; there are capture, checkpoint\n"


def test_an_alias_that_only_something_younger_has_is_none_to_refuse(
    store: LocalStore, cli: Cli
) -> None:
    """It moves on, and rules that run every night are to let go of what it left."""
    rules = ("--type", "checkpoint", "--older-than", "18d", "--keep", "alias=latest", "--yes")
    done = cli("gc", *rules)
    assert (done.code, done.err) == (0, "removed 2 objects, 18 B\n")
    assert there(store, store.artifacts()) == ["ckpt:v3", "ckpt:v4"]


@pytest.mark.parametrize("rule", ["alias=prod", "best=1:metrics.loss:min"])
def test_a_rule_that_names_only_what_was_collected_is_refused(
    store: LocalStore, cli: Cli, rule: str
) -> None:
    """Or it would keep nothing, and all that is left would go."""
    add_version(store, "ckpt", b"without a metric", run=run_id(99))
    grow_old(store)
    store.tag(parse_reference("ckpt:v1"), "prod", datetime.now(UTC))
    store.upkeep.collect(scope(where="metrics.loss > 0"))
    left = there(store, store.artifacts())
    refused = cli("gc", "--type", "checkpoint", "--keep", rule, "--yes")
    assert refused.code == 2
    assert f"--keep {rule} keeps nothing" in refused.err
    assert there(store, store.artifacts()) == left == ["ckpt:v5"]


def test_the_checkpoints_that_are_left_compete_for_the_best(store: LocalStore, cli: Cli) -> None:
    cli("gc", "--type", "checkpoint", "--where", "metrics.loss < 3", "--yes")
    told = cli("gc", *BEST, "--dry-run")
    assert "kept by best=1:metrics.loss:min: 1" in told.out
    assert "1 object, 9 B would go" in told.out
    assert cli("gc", *BEST, "--yes").code == 0
    assert there(store, store.artifacts()) == ["ckpt:v3"]


def test_a_hold_is_no_reason_to_refuse_a_name(store: LocalStore, cli: Cli) -> None:
    store.upkeep.hold("ckpt:v2", datetime(2999, 1, 1, tzinfo=UTC), "audit")
    Path("pyproject.toml").write_text(
        """
        [[tool.instrument.retention]]
        type = "checkpoint"
        keep = ["best=1:metrics.loss:min"]
        [[tool.instrument.retention]]
        type = "checkpoint"
        keep = ["held"]
        """
    )
    assert cli("gc", "--policies", "--yes").code == 0
    assert there(store, store.artifacts()) == ["ckpt:v1", "ckpt:v2"]


def test_what_latest_was_rolled_back_to_is_what_stays(store: LocalStore, cli: Cli) -> None:
    store.tag(parse_reference("ckpt:v2"), "latest", datetime.now(UTC))
    assert cli("gc", "--type", "checkpoint", "--keep", "alias=latest", "--yes").code == 0
    assert there(store, store.artifacts()) == ["ckpt:v2"]


def test_where_nobody_can_answer_it_must_be_told_to_go_on(store: LocalStore, cli: Cli) -> None:
    refused = cli("gc", *BEST)
    assert refused.code == 2
    assert "--yes" in refused.err
    done = cli("gc", *BEST, "--yes", "--why", "disk full", "--json")
    assert (done.json["dry_run"], done.json["objects"]) == (False, 3)
    assert there(store, store.artifacts()) == ["ckpt:v1"]
    (event,) = [e for e in cli("ledger", "log", "--json").json if e["event"] == "objects_dropped"]
    assert (event["why"], event["rule"], event["size_bytes"]) == ("disk full", " ".join(BEST), 27)


def test_nothing_to_do_is_told_and_no_grace_is_allowed_with_a_warning(
    store: LocalStore, cli: Cli
) -> None:
    digest = store.put_bytes(b"just stored")
    done = cli("gc", "--unreferenced", "--yes")
    assert (done.code, done.out, done.err) == (
        0,
        "",
        "nothing goes; too young for --grace: 1 object\n",
    )
    done = cli("gc", "--unreferenced", "--grace", "0", "--yes")
    assert done.code == 0
    assert done.err.startswith("warning: without a grace period what another process is storing")
    assert store.path_of(digest) is None
    assert len(there(store, store.artifacts())) == 4
    assert cli("gc", "--unreferenced", "--yes").err == "nothing goes\n"


@pytest.mark.parametrize(("answer", "left"), [("n", 4), ("y", 1)])
def test_on_a_terminal_it_asks(store: LocalStore, answer: str, left: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "instrument", "gc", *BEST]
    child = subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    out, _ = child.communicate(timeout=60)
    assert b"3 objects, 27 B would go" in out
    assert len(there(store, store.artifacts())) == left
    assert child.returncode == (0 if answer == "y" else 130)
    os.close(ours)


def test_what_was_collected_says_so_everywhere(store: LocalStore, cli: Cli, tmp_path: Path) -> None:
    cli("gc", *BEST, "--yes", "--why", "disk full")
    shown = cli("artifacts", "show", "ckpt:v2").out
    assert "collected" in shown
    assert "because disk full" in shown
    listed = [line.split() for line in cli("artifacts", "list").out.splitlines()]
    assert [(each[0], each[-1]) for each in listed] == [
        ("artifact", "bytes"),
        ("ckpt:v1", "here"),
        *((f"ckpt:v{number}", "collected") for number in (2, 3, 4)),
    ]
    got = cli("artifacts", "get", "ckpt:v2", "-o", "copy")
    assert got.code == 2
    assert "was collected on" in got.err
    assert "brings it back" in got.err
    with (
        ExperimentContext(name="user", capture_level=1, monitor_hardware=False) as run,
        pytest.raises(NotFoundError, match=r"was collected on .*disk full"),
    ):
        run.use_artifact("ckpt:v2").load()
    for what in ((), ("ckpt:v2",)):
        verified = cli("verify", *what, "--json")
        assert verified.code == 0
        assert {each["kind"] for each in verified.json["problems"]} == {"object_dropped"}
    (tmp_path / "again").write_bytes(b"weights 2")
    assert cli("artifacts", "log", "ckpt", tmp_path / "again", "--type", "checkpoint").code == 0
    assert cli("artifacts", "get", "ckpt:v2", "-o", "copy").code == 0
    assert "disk full" not in cli("artifacts", "show", "ckpt:v2").out
    told = {each["ref"]: each["collected"] for each in cli("artifacts", "list", "--json").json}
    assert told == {"ckpt:v1": False, "ckpt:v2": False, "ckpt:v3": True, "ckpt:v4": True}
    for path in Path(store.location, "ledger/heads").iterdir():
        path.unlink()
        path.write_bytes(b"damaged")
    assert {each["collected"] for each in cli("artifacts", "list", "--json").json} == {None}
    (entries,) = Path(store.location, "ledger/entries").iterdir()
    entries.write_bytes(b"damaged" + entries.read_bytes())
    page = cli("artifacts", "show", "ckpt:v3")
    words = " ".join(page.out.split())
    assert (page.code, page.err) == (0, "")
    assert "disk full; to log the same content again brings it back" in words
    assert "ledger damaged: `instrument verify` says how" in words


def test_what_was_collected_does_not_become_latest(store: LocalStore, cli: Cli) -> None:
    cli("gc", *BEST, "--yes")
    for words in (("rollback", "ckpt", "2"), ("tag", "ckpt:v2", "latest")):
        refused = cli("artifacts", *words)
        assert (refused.code, refused.out) == (2, "")
        assert "ckpt:v2 cannot become latest: object sha256:" in refused.err
        assert "to log the same content again brings it back" in refused.err
    with pytest.raises(NotFoundError, match=r"ckpt:v2 cannot become latest: .* was collected on"):
        ArtifactManager(store).rollback("ckpt", 2)
    assert store.resolve(parse_reference("ckpt")).version == 4
    assert cli("artifacts", "rollback", "ckpt", "1").code == 0


def test_who_tags_or_holds_what_was_collected_is_told(store: LocalStore, cli: Cli) -> None:
    cli("gc", *BEST, "--yes")
    for words in (("artifacts", "tag"), ("hold", "set", "--until", "forever")):
        more = ("prod",) if "tag" in words else ()
        assert "warning" not in cli(*words, "ckpt:v1", *more).err
        told = cli(*words, "ckpt:v2", *more)
        assert told.code == 0
        assert "warning: bytes of ckpt:v2 are not here: object sha256:" in told.err
        assert "brings it back" in told.err


def test_a_hold_on_what_is_gone_already_keeps_no_collection_back(
    store: LocalStore, cli: Cli
) -> None:
    cli("gc", "--type", "checkpoint", "--where", "metrics.loss == 2", "--yes")
    cli("hold", "set", "ckpt:v2", "--until", "forever")
    assert cli("gc", *BEST, "--yes").code == 0
    assert there(store, store.artifacts()) == ["ckpt:v1"]


def test_policies_of_the_project(store: LocalStore, cli: Cli) -> None:
    add_version(store, "report", b"text", run=run_id(1), type="evaluation", days=40)
    grow_old(store)
    assert cli("gc", "--policies", "--dry-run").code == 2
    Path("pyproject.toml").write_text(
        """
        [[tool.instrument.retention]]
        type = "checkpoint"
        keep = ["tagged", "best=2:metrics.loss:min"]
        [[tool.instrument.retention]]
        type = ["evaluation"]
        older_than = "30d"
        """
    )
    plan = cli("gc", "--policies", "--dry-run", "--json").json
    assert [drop["subject"] for drop in plan["drops"]] == ["ckpt:v3", "ckpt:v4", "report:v1"]
    assert plan["drops"][2]["rule"] == "--type evaluation --older-than 30d"
    Path("pyproject.toml").write_text("[[tool.instrument.retention]]\nkep = ['tagged']")
    refused = cli("gc", "--policies", "--dry-run")
    assert refused.code == 2
    assert "older_than" in refused.err


NO_RULES = (
    *("", "last", "last=0", "last=x", "alias=", "alias=v1", "tagged=1", "all"),
    *("best=3", "best=3:loss", "best=0:loss:min", "best=3:loss:up"),
)


@pytest.mark.parametrize("rule", NO_RULES)
def test_a_rule_that_is_none(rule: str) -> None:
    with pytest.raises(UsageError):
        keep_rule(rule)


@pytest.mark.parametrize(
    ("text", "expected"), [("36h", 129600.0), ("2d", 172800.0), ("1w", 604800.0)]
)
def test_ages(text: str, expected: float) -> None:
    assert seconds(text) == expected
    for bad in ("", "1", "0d", "1m", "-1d", "1.5d", "d"):
        with pytest.raises(UsageError, match="is no time"):
            seconds(bad)


def test_json_stays_one_value(store: LocalStore, cli: Cli) -> None:
    for words in ((), ("--unreferenced", "--dry-run"), ("--unreferenced", "--yes")):
        done = cli("gc", *words, "--json")
        assert done.code == 0
        assert json.loads(done.out)["objects"] == 0
