"""Text, JSON, DOT and Mermaid."""

import html
import json
import re

import pytest
from hypothesis import given, strategies as st

from instrument.errors import NotFoundError, UsageError
from instrument.lineage import DIRECTIONS, FORMATS, Graph, Node, render
from instrument.lineage.export import as_dot, as_mermaid
from instrument.lineage.text import MAX_DEPTH


@pytest.fixture
def graph() -> Graph:
    graph = Graph()
    for name in ("raw", "config", "model", "report"):
        graph.add(Node(id=f"{name}:v1", kind="artifact", type=name, name=name))
    graph.add(Node(id="train-run", kind="run", name="train", state="COMPLETED"))
    graph.add(Node(id="gone-run", kind="run", known=False))
    for edge in [
        ("raw:v1", "train-run"),
        ("config:v1", "train-run"),
        ("raw:v1", "model:v1"),
        ("config:v1", "model:v1"),
        ("train-run", "model:v1"),
        ("model:v1", "report:v1"),
        ("raw:v1", "report:v1"),
        ("gone-run", "raw:v1"),
    ]:
        graph.connect(*edge)
    return graph


def test_the_tree_upwards(graph: Graph) -> None:
    assert render(graph, "report:v1", "text", "up") == (
        "report:v1  report\n"
        "├── model:v1  model\n"
        "│   ├── raw:v1  raw\n"
        "│   │   └── run gone-run  (not in the store)\n"
        "│   ├── config:v1  config\n"
        "│   └── run train-run  train  COMPLETED\n"
        "└── raw:v1  raw  (see above)\n"
    )
    assert render(graph, "train-run", "text", "up") == (
        "run train-run  train  COMPLETED\n"
        "├── raw:v1  raw\n"
        "│   └── run gone-run  (not in the store)\n"
        "└── config:v1  config\n"
    )


def test_the_tree_downwards(graph: Graph) -> None:
    assert render(graph, "config:v1", "text", "down") == (
        "config:v1  config\n"
        "├── run train-run  train  COMPLETED\n"
        "└── model:v1  model\n"
        "    └── report:v1  report\n"
    )


def test_the_tree_both_ways(graph: Graph) -> None:
    assert render(graph, "model:v1", "text") == (
        "model:v1  model\n"
        "├── came from\n"
        "│   ├── raw:v1  raw\n"
        "│   │   └── run gone-run  (not in the store)\n"
        "│   ├── config:v1  config\n"
        "│   └── run train-run  train  COMPLETED\n"
        "├── led to\n"
        "│   └── report:v1  report\n"
        "└── besides\n"
        "    └── raw:v1 → report:v1  (derived)\n"
    )
    assert render(graph, "report:v1", "text").splitlines()[1] == "└── came from"
    assert render(graph, "gone-run", "text").splitlines()[1] == "└── led to"


def test_who_made_it_and_who_logged_it_again() -> None:
    graph = Graph()
    graph.add(Node(id="data:v1", kind="artifact", type="dataset", maker="a-run"))
    for name in ("a-run", "b-run"):
        graph.add(Node(id=name, kind="run", state="COMPLETED"))
        graph.connect(name, "data:v1")
        graph.connect("data:v1", name)
    assert render(graph, "data:v1", "text", "up") == (
        "data:v1  dataset\n├── run a-run  COMPLETED\n└── run b-run  COMPLETED  (logged again)\n"
    )
    assert "data:v1  dataset  (logged again)" in render(graph, "b-run", "text", "down")
    assert '"b-run" -> "data:v1" [label="logged again"]' in render(graph, "data:v1", "dot")


def test_one_step_is_one_step(graph: Graph) -> None:
    assert render(graph, "report:v1", "text", "up", max_depth=1) == (
        "report:v1  report\n├── model:v1  model\n│   └── raw:v1  raw\n└── raw:v1  raw\n"
    )


def test_json_has_every_node_and_edge(graph: Graph) -> None:
    whole = json.loads(render(graph, "model:v1", "json", "up"))
    assert (whole["root"], whole["direction"]) == ("model:v1", "up")
    assert {node["id"] for node in whole["nodes"]} == {
        "model:v1", "raw:v1", "config:v1", "train-run", "gone-run",
    }  # fmt: skip
    assert {"source": "raw:v1", "target": "model:v1", "kind": "derived"} in whole["edges"]
    assert len(whole["edges"]) == 4
    of_the_run = json.loads(render(graph, "train-run", "json", "up"))["edges"]
    assert {"source": "raw:v1", "target": "train-run", "kind": "used"} in of_the_run


def test_dot_and_mermaid_are_drawn(graph: Graph) -> None:
    dot = render(graph, "model:v1", "dot", "up")
    assert '"train-run" -> "model:v1" [label="made"];' in dot
    assert '"raw:v1" -> "train-run" [label="used"];' in render(graph, "raw:v1", "dot", "down")
    assert '"raw:v1" -> "model:v1" [label="derived"];' in dot
    assert '"gone-run" [label="run gone-run  (not in the store)", shape=ellipse' in dot
    mermaid = render(graph, "model:v1", "mermaid", "up")
    assert mermaid.startswith("flowchart LR\n")
    assert mermaid.count("-->") == 4


NODES = st.sampled_from(["data:v1", "model:v1", "report:v1", "a-run", "b-run", "c-run"])


@given(st.lists(st.tuples(NODES, NODES), min_size=1), st.sampled_from(DIRECTIONS))
def test_every_format_tells_the_same_edges(pairs: list[tuple[str, str]], direction: str) -> None:
    graph = Graph()
    for pair in pairs:
        if not all(name.endswith("run") for name in pair):
            graph.connect(
                *(graph.refer(name, "run" if name[-3:] == "run" else "artifact") for name in pair)
            )
    for root in graph:
        whole = json.loads(render(graph, root, "json", direction))
        told = {(edge["source"], edge["target"]) for edge in whole["edges"]}
        dot = render(graph, root, "dot", direction)
        assert set(re.findall(r'"(\S+)" -> "(\S+)"', dot)) == told
        mermaid = render(graph, root, "mermaid", direction)
        names = dict(re.findall(r'^  (n\d)\S*"(?:run )?(\S+)  ', mermaid, re.MULTILINE))
        arrows = re.findall(r"(n\d) -->\|[\w ]+\| (n\d)", mermaid)
        assert {(names[source], names[target]) for source, target in arrows} == told
        assert drawn_edges(render(graph, root, "text", direction), direction) == told


def drawn_edges(tree: str, direction: str) -> set[tuple[str, str]]:
    """The edges that a tree of text tells."""
    title, *lines = tree.splitlines()
    found = set(re.findall(r"(\S+) → (\S+)", tree))
    up, above = direction == "up", [re.findall(r"[\w-]+(?::v1|-run)|\w-run", title)[0]]
    for line in lines:
        indent, text = re.findall(r"^([│ ├└─]*)(.*)", line)[0]
        if text in {"came from", "led to", "besides"}:
            up, above = text == "came from", above[:1]
            continue
        if "→" in text:
            continue
        name = re.findall(r"^(?:run )?(\S+)", text)[0]
        depth = len(indent) // 4 - (direction == "both")
        above = [*above[:depth], name]
        found.add((name, above[-2]) if up else (above[-2], name))
    return found


LABELS = st.text(min_size=1).filter(str.isprintable) | st.sampled_from(
    ['"', "\\", '\\"', 'a"]; evil["b', "end", "`md`", "<b>", "#35;", "&amp;", "{}|", "--> x", "\\N"]
)


@given(LABELS)
def test_no_name_breaks_out_of_its_quotes(name: str) -> None:
    graph = Graph()
    graph.add(Node(id="a-run", kind="run", name=name))
    expected = f"run a-run  {name}"
    dot = as_dot(graph)
    (quoted,) = re.findall(r'\[label=("(?:[^"\\]|\\.)*"), shape=ellipse\];\n}\n$', dot, re.DOTALL)
    assert re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL) == expected
    mermaid = as_mermaid(graph)
    (label,) = re.findall(r'^  n0\(\["([^"]*)"\]\)$', mermaid, re.MULTILINE)
    assert html.unescape(label.replace("#", "&#")) == html.unescape(_codes(expected))


def _codes(text: str) -> str:
    """Every character as HTML's own number for it: what Mermaid turns its codes into."""
    return "".join(f"&#{ord(character)};" for character in text)


@pytest.mark.parametrize("evil", ["\x1b[31mred", "two\nlines", "\x00", "\u202egnp", "\ud800"])
def test_control_characters_do_not_reach_the_terminal(evil: str) -> None:
    graph = Graph()
    graph.add(Node(id="a-run", kind="run", name=evil))
    for format_ in ("text", "dot", "mermaid"):
        shown = render(graph, "a-run", format_)
        assert evil not in shown
        shown.encode()


def test_deep_and_wide_graphs_are_drawn() -> None:
    deep = Graph()
    for index in range(5000):
        deep.connect(deep.refer(f"n{index}", "artifact"), deep.refer(f"n{index + 1}", "artifact"))
    lines = render(deep, "n5000", "text", "up").splitlines()
    assert len(lines) == MAX_DEPTH + 1
    assert "--format json" in lines[-1]
    assert len(json.loads(render(deep, "n5000", "json", "up"))["nodes"]) == 5001
    for format_ in ("dot", "mermaid"):
        assert render(deep, "n0", format_).count("->") >= 5000


def test_a_cycle_is_drawn_once() -> None:
    graph = Graph()
    for source, target in ("ab", "bc", "ca"):
        graph.connect(graph.refer(source, "artifact"), graph.refer(target, "artifact"))
    assert render(graph, "a", "text", "up").count("\n") == 4
    for format_ in FORMATS:
        assert render(graph, "a", format_)


def test_what_is_wrong_is_said(graph: Graph) -> None:
    with pytest.raises(UsageError, match="text, json, dot, mermaid"):
        render(graph, "raw:v1", "svg")
    with pytest.raises(UsageError, match="up, down, both"):
        render(graph, "raw:v1", "text", "sideways")
    with pytest.raises(NotFoundError, match="nothing:v1"):
        render(graph, "nothing:v1")
