"""Reads by Hugging Face datasets, without a network."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from intercept.loading import digest, digest_of_tree, loads_of
from pandas import read_csv
from pyarrow.csv import read_csv as read_arrow  # not written in Python: a wrapper stands for it

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

datasets = pytest.importorskip("datasets", reason="datasets is not installed: not tested")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):  # of older versions, and of new ones
        monkeypatch.setattr(datasets.config, name, True, raising=False)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def _write(root: Path) -> Path:
    data = root / "data"
    data.mkdir(exist_ok=True)
    (data / "train.csv").write_text("n,s\n1,a\n2,b\n")
    (data / "test.csv").write_text("n,s\n3,c\n")
    return data


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "datasets")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        data = _write(path)
        saved = path / "saved"
        datasets.load_dataset(str(data)).save_to_disk(saved)
        file = str(data / "train.csv")
        return {
            "directory": lambda: datasets.load_dataset(str(data)),
            "from_disk": lambda: datasets.load_from_disk(saved),
            "from_csv": lambda: datasets.Dataset.from_csv(file),
            "of_dict": lambda: datasets.DatasetDict.from_csv({"train": file}),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "not there": lambda: datasets.load_from_disk(path / "nothing"),
            "no files": lambda: datasets.load_dataset("csv", data_files=str(path / "no.csv")),
        }

    def same(self, one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return all(self.same(one[name], other[name]) for name in one)
        return bool(one.to_dict() == other.to_dict() and one.features == other.features)


def test_load_dataset_tells_splits_rows_features_and_its_source_files(tmp_path: Path) -> None:
    data = _write(tmp_path)
    kept: list[Any] = []
    found = loads_of(lambda: kept.append(datasets.load_dataset(str(data))))
    [read] = found.read
    assert (read.reader, read.rows) == ("datasets.load_dataset", 3)
    assert set(read.schema or ()) == {"n", "s"}
    assert read.facts["splits"] == {"train": 2, "test": 1}
    fingerprints = {name: split._fingerprint for name, split in kept[0].items()}
    assert read.facts["fingerprints"] == fingerprints
    assert found.of(read).digest == digest_of_tree(data, "train.csv", "test.csv")


def test_the_options_that_decide_are_told(tmp_path: Path) -> None:
    file = _write(tmp_path) / "train.csv"
    found = loads_of(
        lambda: datasets.load_dataset("csv", data_files={"x": str(file)}, split="x[:1]")
    )
    [read] = found.read
    assert read.facts["asked"] == {"data_files": {"x": str(file)}, "split": "x[:1]"}
    assert (read.facts["builder"], read.rows) == ("csv", 1)
    assert found.of(read).digest == digest(file)


def test_a_stream_has_no_rows_and_the_digest_of_its_files(tmp_path: Path) -> None:
    file = _write(tmp_path) / "train.csv"
    kept: list[Any] = []

    def read() -> None:
        stream = datasets.load_dataset("csv", data_files=str(file), split="train", streaming=True)
        kept.extend(stream)

    found = loads_of(read)
    assert kept == [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
    [told] = found.read
    assert (told.rows, told.facts["lazy"]) == (None, True)
    assert found.of(told).digest == digest(file)


def test_load_from_disk_is_the_tree_of_the_directory(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    datasets.load_dataset(str(_write(tmp_path)), split="train").save_to_disk(saved)
    found = loads_of(lambda: datasets.load_from_disk(str(saved)))
    [read] = found.read
    names = [path.name for path in saved.iterdir()]
    assert found.of(read).digest == digest_of_tree(saved, *names)
    assert (read.reader, read.rows) == ("datasets.load_from_disk", 2)


def test_functions_have_the_same_fingerprint_as_without_us() -> None:
    """A cached `map` is found again only when its function hashes to what it did before."""
    from datasets.fingerprint import Hasher

    def reads(row: dict[str, Any]) -> Any:  # no module has it, so that it is hashed by its code
        return datasets.load_dataset("csv"), read_csv("x"), read_arrow("x"), row

    before = Hasher.hash(reads)
    during: list[str] = []
    loads_of(lambda: during.append(Hasher.hash(reads)))
    assert during == [before]
