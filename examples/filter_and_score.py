"""Score the documents of a text, keep the good ones, and write them as a versioned dataset.

    python examples/filter_and_score.py --min-novelty 0.7

The dataset's parent is the raw text, so that everything made from it leads back there.
"""

import argparse
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import corpus
import options

from instrument import log_metrics, reproducible
from instrument.naming import dataset_name

RAW = dataset_name("topics", "raw")


@reproducible
def score(documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each document with its ``scores``.

    ``characters``: its length. ``letters``: the share of letters and spaces; prose has more than
    grammar and tables. ``repetition``: the share of its three-word sequences that it has said
    before. ``novelty``: the share of its five-word sequences that no earlier document has.
    """
    seen: set[tuple[str, ...]] = set()
    for document in documents:
        text = " ".join(document["text"].split())
        words = re.findall(r"[a-z']+", text.lower())
        triples, fives = _sequences(words, 3), _sequences(words, 5)
        scores = {
            "characters": len(text),
            "letters": _share(character.isalpha() or character == " " for character in text),
            "repetition": 1 - len(set(triples)) / max(len(triples), 1),
            "novelty": _share(five not in seen for five in fives),
        }
        seen.update(fives)
        yield {**document, "scores": {name: round(value, 4) for name, value in scores.items()}}


def reasons_against(document: dict[str, Any], args: argparse.Namespace) -> list[str]:
    """The limits that a scored document does not keep."""
    scores = document["scores"]
    limits = {
        "too_short": scores["characters"] < args.min_characters,
        "not_prose": scores["letters"] < args.min_letters,
        "repeats_itself": scores["repetition"] > args.max_repetition,
        "repeats_others": scores["novelty"] < args.min_novelty,
    }
    return [reason for reason, met in limits.items() if met]


def keep_good(
    documents: Iterable[dict[str, Any]], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """The documents that keep all limits; how many were dropped, and why, becomes metrics."""
    kept: list[dict[str, Any]] = []
    dropped: dict[str, int] = {}
    for document in documents:
        reasons = reasons_against(document, args)
        if not reasons:
            kept.append(document)
        for reason in reasons:
            dropped[reason] = dropped.get(reason, 0) + 1
    log_metrics({"kept": len(kept), **{f"dropped.{name}": dropped[name] for name in dropped}})
    return kept


def main() -> None:
    """Log the raw text, score and filter it, log the dataset."""
    parser = options.parser(__doc__, "filter-and-score")
    parser.add_argument("--version", default="1", help="dataset-topics-VERSION (%(default)s)")
    parser.add_argument("--min-characters", type=int, default=200)
    parser.add_argument("--min-letters", type=float, default=0.8)
    parser.add_argument("--max-repetition", type=float, default=0.15)
    parser.add_argument("--min-novelty", type=float, default=0.7)
    args = parser.parse_args()

    with options.open_run(args, tags=("data",)) as run, tempfile.TemporaryDirectory() as scratch:
        raw = run.log_artifact(
            RAW, "dataset", file_path=corpus.SOURCE, metadata={"source": "pydoc_data.topics"}
        )
        kept = keep_good(score(corpus.documents()), args)
        dataset = run.log_artifact(
            dataset_name("topics", args.version),
            "dataset",
            file_path=corpus.write_jsonl(kept, Path(scratch) / "topics.jsonl"),
            metadata={"documents": len(kept), "filter": vars(args)},
            parent_artifacts=[raw.ref],
        )
    print(f"{len(kept)} documents are {dataset.ref}, made from {raw.ref}")
    print(
        f"next: python examples/train.py --mode sft --dataset {dataset.ref}"
        "  (needs pip install '.[torch,transformers]')"
    )


def _sequences(words: list[str], length: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(length)), strict=False))


def _share(facts: Iterable[bool]) -> float:
    """The share of true `facts`; 0 of none."""
    values = list(facts)
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    main()
