"""What versions were made from, by what runs say one after another."""

from collections.abc import Iterator

from hypothesis import given, settings, strategies as st

from instrument.summary import RunSummary
from instrument.summary.parentage import made_from
from instrument.testing.samples import draft
from instrument.vocabulary import ArtifactVersion

REFS = [f"{name}:v1" for name in "abcdef"]
pairs = st.tuples(st.integers(0, 5), st.integers(0, 5))


def _versions(derived: list[tuple[int, int]]) -> Iterator[ArtifactVersion]:
    """Versions, each made from what was there before it."""
    for number, ref in enumerate(REFS):
        parents = {REFS[min(pair)] for pair in derived if max(pair) == number != min(pair)}
        fields = {"name": ref[0], "version": 1, "parents": tuple(sorted(parents))}
        yield ArtifactVersion(**{**_FIELDS, **fields})


_FIELDS = {name: getattr(draft("x", b"x"), name) for name in draft("x", b"x").__struct_fields__}


def _comes_from(ref: str, source: str, parents: dict[str, list[str]]) -> bool:
    return ref == source or any(_comes_from(each, source, parents) for each in parents[ref])


@settings(max_examples=80, deadline=None)
@given(derived=st.lists(pairs, max_size=6), said=st.lists(pairs, max_size=12))
def test_each_run_adds_what_leads_in_no_circle_in_the_order_of_the_runs(
    derived: list[tuple[int, int]], said: list[tuple[int, int]]
) -> None:
    versions = list(_versions(derived))
    runs = [
        RunSummary(id=f"run-{number}", logged_again={REFS[of]: [REFS[parent]]})
        for number, (of, parent) in enumerate(said)
    ]
    expected = {each.ref: list(each.parents) for each in versions}
    for of, parent in said:
        ref, source = REFS[of], REFS[parent]
        if source not in expected[ref] and not _comes_from(source, ref, expected):
            expected[ref].append(source)
    found = made_from(versions, runs[::-1])
    assert {ref: list(parents) for ref, parents in found.items()} == expected
