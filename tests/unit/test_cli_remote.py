"""What `edge-etl remote run` makes of its arguments."""

from pathlib import Path

import pytest
from edge_etl_operator.cli import WRONG_INPUT, UsageError, main
from edge_etl_operator.cli.remote import tokens_of

SAMPLE = Path(__file__).parents[2] / "manifests/samples/air-quality.yaml"
URLS = {"pi-1": "http://pi-1", "pi-2": "http://pi-2", "pi-3": "http://pi-3"}


def test_a_token_for_one_agent_stands_beside_the_one_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("all").write_text("token-of-all\n")
    Path("own").write_text("token-of-pi-2")
    right = {"pi-1": "token-of-all", "pi-2": "token-of-pi-2", "pi-3": "token-of-all"}
    assert tokens_of(["all", "pi-2=own"], URLS) == right
    assert tokens_of(["pi-2=own", "all"], URLS) == right
    assert tokens_of(["pi-2=own"], URLS) == {"pi-2": "token-of-pi-2"}
    assert tokens_of([], URLS) == {}


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "größe"])
def test_a_file_holds_one_token_and_no_more(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(UsageError, match="must hold one token"):
        tokens_of([str(tmp_path / "token")], URLS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--agent", "pi-1"], "NAME=URL is needed"),
        (["--agent", "pi-1=pi-1.lan:8090"], "must begin with http:// or https://"),
        (["--agent", "pi-2=http://x", "--agent", "pi-2=http://y"], "pi-2 is given twice"),
        (["--token-file", "absent"], "absent: there is no such file"),
        (["--token-file", "pi-7=token"], "there is no --agent pi-7="),
        (["--cert", "token"], "--cert and --key go together"),
        (["--ca", "token"], "no certificates and key (PEM)"),
    ],
)
def test_wrong_usage_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("token").write_text("x" * 32)
    given = ["--agent", "pi-1=https://127.0.0.1:9", "--token-file", "token", "--results", "r"]
    assert main(["remote", "run", str(SAMPLE), *given, *options]) == WRONG_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("r").exists()


def test_code_of_a_job_is_not_for_agents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "  edge: {transform: {configMap: {name: my-rules, key: clean.py}}}\n"
    (tmp_path / "job.yaml").write_text(SAMPLE.read_text().rstrip() + "\n" + own)
    given = ["--agent", "pi-1=https://127.0.0.1:9", "--results", str(tmp_path / "r")]
    assert main(["remote", "run", str(tmp_path / "job.yaml"), *given]) == WRONG_INPUT
    assert "spec.edge.transform: an agent runs no code of a job" in capsys.readouterr().err
