from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from instrument import naming
from instrument.errors import UsageError


def test_references_parse() -> None:
    assert naming.parse_reference("data") == ("data", None, "latest")
    assert naming.parse_reference("data:v11") == ("data", 11, None)
    assert naming.parse_reference("data:best") == ("data", None, "best")


@pytest.mark.parametrize("text", ["", "a/b", "../x", ".hidden", "a b", "a:", "a:b:c", "a\x00", "é"])
def test_bad_references_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot"):
        naming.parse_reference(text)


@given(st.text())
def test_a_name_that_passes_is_a_safe_file_name(text: str) -> None:
    try:
        naming.check_artifact_name(text)
    except UsageError:
        return
    assert "/" not in text
    assert not text.startswith(".")
    assert text.isascii()


def test_run_ids_sort_by_time_and_never_collide() -> None:
    now = datetime(2026, 11, 21, 4, 5, 6, tzinfo=UTC)
    ids = {naming.new_run_id(now) for _ in range(1000)}
    assert len(ids) == 1000
    assert max(ids) < naming.new_run_id(now + timedelta(seconds=1))
    assert all(naming.check_run_id(run_id) for run_id in ids)


def test_usual_names_are_built_and_valid() -> None:
    assert naming.dataset_name("cota_sft", "v1") == "dataset-cota_sft-v1"
    assert naming.model_name("r1") == "model-r1"
    assert naming.checkpoint_name("best", "r1") == "checkpoint_best_r1"
    assert naming.evaluation_name("model:v1", "data:v2") == "eval-model-v1-on-data-v2"
    assert naming.metrics_name("sft", "r1") == "sft_metrics_r1"
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert naming.experience_buffer_name(moment) == "experience_buffer_20260102T030405000006"


@pytest.mark.parametrize("alias", ["v3", "V3", "3", "v03", "0", "20261122"])
def test_an_alias_cannot_look_like_a_version(alias: str) -> None:
    with pytest.raises(UsageError, match=f"it reads like a version; .* release-{alias}"):
        naming.check_alias(alias)


def test_digits_are_the_number_of_a_version() -> None:
    for text in ("model:2", "model:v2"):
        assert naming.parse_reference(text) == ("model", 2, None)
    assert naming.parse_reference("model:1.2.0").alias == "1.2.0"


def test_the_word_for_the_latest_run_is_taken() -> None:
    assert naming.check_given_run_id("latest-2") == "latest-2"
    for taken in ("latest", "LATEST"):
        with pytest.raises(UsageError, match="latest run"):
            naming.check_given_run_id(taken)
