"""The operator's settings: read once, and wrong ones are told by file and field."""

from pathlib import Path

import pytest
from edge_etl_operator import settings
from edge_etl_operator.settings import SettingsError

GOOD = """
sources: {sensors: /data}
edge: {image: "edge:1", transformImage: "edge-transform:1", serviceAccount: edge}
spark: {image: "spark:1", serviceAccount: spark}
"""


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv(settings.VARIABLE, str(path))
    loaded = settings.load()
    assert loaded.edge.run_as_user == 65532
    assert loaded.landing is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (GOOD + "source: {}", "source"),
        (GOOD.replace("/data", "data"), "$.sources"),
        (GOOD.replace("serviceAccount: edge", "runAsUser: 0"), "$.edge"),
        ("sources: [", "settings.yaml"),
        ("", "settings.yaml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"settings\.yaml") as error:
        settings.load(str(path))
    assert part in str(error.value)


def test_a_missing_file_says_where_settings_come_from(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=settings.VARIABLE):
        settings.load(str(tmp_path / "absent.yaml"))
