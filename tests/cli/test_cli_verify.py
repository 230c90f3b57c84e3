from cli.support import Cli, Writer


def test_an_intact_store(cli: Cli, writer: Writer) -> None:
    model = writer.artifact("model", b"weights")
    writer.run("only-run", makes=(model,))
    result = cli("verify", "--json")
    assert result.code == 0
    assert result.json["ok"] is True
    assert result.json["problems"] == []
    assert result.json["checked"].keys() == {"runs", "objects", "bytes"}
    assert result.json["checked"]["runs"] == 1
    for selector in ("latest", "only", "model", "model:v1"):
        assert cli("verify", selector).code == 0
    assert cli("verify").out.startswith("intact: 1 run")


def test_damage_is_a_no(cli: Cli, writer: Writer) -> None:
    model = writer.artifact("model", b"weights")
    writer.damage(model)
    result = cli("verify", "--json")
    assert result.code == 1
    assert result.json["ok"] is False
    [problem] = result.json["problems"]
    assert problem.keys() >= {"kind", "path", "expected", "found"}
    page = cli("verify")
    assert page.code == 1
    assert "damaged: 1 problem" in page.out
    assert cli("verify", "model:v1").code == 1
