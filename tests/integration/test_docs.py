"""What the README tells a stranger to type works, as far as it needs no cluster."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from edge_etl_operator import conditions, validation, yaml_reader
from edge_etl_operator.cli import arguments

from tests.support import independent
from tests.support.cluster import tools

ROOT = Path(__file__).parents[2]
MISTAKES = (ROOT / "docs/mistakes.md").read_text()
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs/raspberry-pi.md").read_text()
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *ROOT.glob("tests/data/**/*.md")]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in text.replace("\\\n", "").splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", page.read_text())
    for link in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    text = page.read_text()
    assert set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_plugin_is_one(page: Path) -> None:
    text = "".join(blocks("sh", page.read_text())).replace("\\\n", "")
    for line in re.findall(
        r"^(?:kubectl edgeetl|(?:\.venv/bin/)?edge-etl) (.*)", text, re.MULTILINE
    ):
        given = shlex.split(line, comments=True)
        if given[0] != "table":
            arguments.parser().parse_args(given)  # exits when it is wrong


def test_the_page_of_mistakes_names_reasons_with_remedies_and_checks_that_exist() -> None:
    rows = re.findall(r"^\| (?!mistake|---)(.*?) \| (.*?) \| (.*?) \|$", MISTAKES, re.MULTILINE)
    assert len(rows) == 10
    folder = ROOT / "operator/edge_etl_operator/cli/doctor"
    code = "".join(file.read_text() for file in folder.glob("*.py"))
    edge = (ROOT / "edge_job_image/edge_etl_job/reasons.py").read_text()
    for _, doctor, told in rows:
        checks = re.findall(r"`([a-z ]+)`(?=[:,]| with)", doctor)
        assert checks
        assert [name for name in checks if f'"{name}"' not in code] == []
        reasons = re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", told)
        assert reasons
        for reason in reasons:
            assert conditions.by_code(reason).remedy or f'"{reason}"' in edge


def test_the_job_is_valid() -> None:
    (text,) = blocks("yaml")
    (document,) = yaml_reader.parse(text, "README.md")
    assert validation.validate(document)["metadata"]["name"] == "air-quality"


def test_the_local_commands_run(tmp_path: Path) -> None:
    (block,) = (block for block in blocks("sh") if "edge-etl local run" in block)
    for name in ("manifests", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    ran = [
        subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
        for words in commands(block)
        if words and words[0] != "make"
    ]
    assert "is valid" in ran[0].stdout
    assert "table: local-results/default/air-quality/table/current" in ran[1].stdout
    assert list(
        tmp_path.glob("local-results/default/air-quality/table/current/rows/day=*/*.parquet")
    )


@pytest.mark.parametrize("text", [README, GUIDE], ids=["readme", "guide"])
def test_helm_takes_the_values(tmp_path: Path, text: str) -> None:
    (words,) = (
        words
        for block in blocks("sh", text)
        for words in commands(block)
        if words[:2] == ["helm", "install"]
    )
    arguments = [word for word in words[2:] if word != "--create-namespace"]
    rendered = subprocess.run(
        [tools.helm(), "template", *arguments],
        cwd=ROOT,
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rendered.returncode == 0, rendered.stderr
    assert "/var/lib/pi-edge-spark/sensors" in rendered.stdout


def test_the_guide_names_reasons_that_exist() -> None:
    told = set(re.findall(r"`(?:[A-Z]\w+=\w+: )?([A-Z][a-z]+[A-Z]\w+)`", GUIDE)) - {"NotReady"}
    assert {"NoMatchingNode", "ImageUnavailable", "SourceMissing", "NoRoomForSpark"} <= told
    code = "".join(
        file.read_text()
        for folder in ("operator", "edge_job_image", "spark_app")
        for file in (ROOT / folder).glob("edge_etl_*/**/*.py")
    )
    assert {name for name in told if f'"{name}"' not in code} <= {"SystemMaxUse"}


def test_the_numbers_shown_are_those_of_the_sample() -> None:
    pis = {
        name: ROOT / "tests/data/air-quality" / name for name in ("pi-1", "pi-2", "pi-3", "pi-4")
    }
    counts = independent.counts(pis).values()
    ratio = sum(each.rejected for each in counts) / sum(each.read for each in counts)
    rows = len(independent.expected(pis).rows)
    assert re.search(rf"air-quality +Succeeded +4/4 +{rows} +{ratio:.1%} ", README)


def test_every_folder_of_the_layout_exists() -> None:
    folders = re.findall(r"^\| `([a-z_/-]+)/` \|", README, flags=re.MULTILINE)
    assert len(folders) >= 6
    for folder in folders:
        assert (ROOT / folder).is_dir(), folder
