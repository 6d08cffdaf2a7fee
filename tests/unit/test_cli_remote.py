"""Which agent gets which token."""

from pathlib import Path

import pytest
from edge_etl_operator.cli import UsageError
from edge_etl_operator.cli.remote import tokens_of

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
