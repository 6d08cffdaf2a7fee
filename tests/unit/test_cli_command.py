"""What a person's mistakes on the command line get: exit code 2, the cause, no traceback."""

import fcntl
import re
from pathlib import Path

import pytest
import yaml
from edge_etl_operator import cli

from tests.support import plugin_archive, publish_many

SAMPLE = Path(__file__).parents[2] / "manifests/samples/air-quality.yaml"


def wrong(arguments: list[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused, and return what it says."""
    try:
        code = cli.main([str(each) for each in arguments])
    except SystemExit as error:  # argparse ends the program itself
        code = int(error.code or 0)
    printed = capsys.readouterr()
    assert code == cli.WRONG_INPUT
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


def run(job: Path, tmp_path: Path, *nodes: str) -> list[str | Path]:
    options = [part for node in nodes for part in ("--node", node)]
    return ["local", "run", job, "--results", tmp_path / "results", *options]


def test_a_valid_job_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(SAMPLE)]) == cli.DONE
    assert "EdgeETLJob default/air-quality is valid" in capsys.readouterr().out


def test_an_invalid_job_is_refused_with_file_line_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(SAMPLE.read_text().replace("type: double, unit: Pa", "type: float, unit: Pa"))
    said = 'job.yaml:22:26: spec.schema.fields[6].type: Unsupported value: "float": supported'
    assert said in wrong(["validate", job], capsys)
    assert said in wrong(run(job, tmp_path, f"pi-1={tmp_path}"), capsys)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no kubeconfig FILE"),
        ("", "FILE file is empty"),
        ("text", "FILE is no kubeconfig: "),
        ("- 1", "FILE is no kubeconfig: "),
        ("a: [b", "FILE is no kubeconfig: while parsing a flow sequence"),
        ("kind: Config", "Expected key current-context in FILE"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    assert cli.main(["status", "--kubeconfig", str(file)]) == cli.NO_CLUSTER
    assert said.replace("FILE", str(file)) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "one EdgeETLJob is needed, it is empty"),
        ("just text", "job.yaml:1:1: <nil>: an object of kind EdgeETLJob is needed, not a string"),
        (
            "kind: EdgeETLJob",
            'apiVersion: apiVersion not set, it must be "pi-edge-spark.io/v1alpha1"',
        ),
        (
            "apiVersion: pi-edge-spark.io/v1\nkind: EdgeETLJob",
            'no matches for apiVersion "pi-edge-spark.io/v1"',
        ),
        ("{apiVersion: v1, kind: Pod}", 'no matches for kind "Pod", it must be "EdgeETLJob"'),
        ("kind: EdgeETLJob\n---\nkind: EdgeETLJob", "one EdgeETLJob is needed, it holds 2"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_job_is_refused(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(content)
    assert said in wrong(["validate", job], capsys)


def test_every_file_is_checked_and_a_document_says_of_each_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong_type = SAMPLE.read_text().replace("type: double, unit: Pa", "type: float, unit: Pa")
    (tmp_path / "bad.yaml").write_text(wrong_type)
    (tmp_path / "half.yaml").write_text("a: [")
    files = [str(tmp_path / "bad.yaml"), str(tmp_path / "half.yaml"), str(SAMPLE), "none.yaml"]
    assert cli.main(["validate", "-o", "yaml", *files]) == cli.WRONG_INPUT
    document = yaml.safe_load(capsys.readouterr().out)
    assert document["kind"] == "ValidationList"
    bad, half, good, none = document["items"]
    assert bad["problems"][0].startswith(f"{files[0]}:22:26: spec.schema.fields[6].type")
    assert "not valid YAML" in half["problems"][0]
    assert good == {"file": files[2], "namespace": "default", "job": "air-quality"}
    assert none["problems"] == ["none.yaml: No such file or directory"]
    assert cli.main(["validate", *files]) == cli.WRONG_INPUT
    printed = capsys.readouterr()
    assert "air-quality is valid" in printed.out
    assert len(printed.err.splitlines()) >= 3


def test_what_is_said_of_a_table_is_a_document_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "garden" / "air-quality"
    publish_many.publish_next(job / "table")
    assert cli.main(["table", "versions", str(job), "-o", "yaml"]) == cli.DONE
    document = yaml.safe_load(capfd.readouterr().out)
    assert document["kind"] == "TableVersions"
    assert [(each["version"], each["current"]) for each in document["items"]] == [(1, True)]
    assert cli.main(["table", "versions", str(tmp_path), "--json"]) == cli.FAILED
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "holds no table" in printed.err


def test_the_job_is_found_among_other_resources(tmp_path: Path) -> None:
    job = tmp_path / "all.yaml"
    job.write_text(f"apiVersion: v1\nkind: Namespace\n---\n{SAMPLE.read_text()}")
    assert cli.main(["validate", str(job)]) == cli.DONE


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = wrong(["validate", tmp_path / "absent.yaml"], capsys)
    assert said == f"{tmp_path}/absent.yaml: No such file or directory\n"


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("pi-1", "NAME=DIR is needed"),
        ("pi-1=", "NAME=DIR is needed"),
        ("Pi 1=.", "the name must be lower-case letters"),
        ("../x=.", "the name must be lower-case letters"),
        ("pi-1=/nowhere/at/all", "there is no directory /nowhere/at/all"),
    ],
)
def test_a_wrong_node_is_refused(
    node: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in wrong(run(SAMPLE, tmp_path, node), capsys)


def test_a_node_given_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "pi-1 is given twice" in wrong(run(SAMPLE, tmp_path, "pi-1=.", "pi-1=."), capsys)


def test_no_node_and_no_command_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--node" in wrong(run(SAMPLE, tmp_path), capsys)
    assert "COMMAND" in wrong([], capsys)


def test_results_that_cannot_be_written_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").write_text("a file")
    assert f"{tmp_path}/results" in wrong(run(SAMPLE, tmp_path, "pi-1=."), capsys)


def test_two_runs_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "results/.state/default/air-quality"
    state.mkdir(parents=True)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = wrong(run(SAMPLE, tmp_path, "pi-1=."), capsys)
    assert "another run of this job is going on" in said


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("schedule: '61 * * * *'", "spec.schedule: the schedule '61 * * * *' is wrong: Bad minute"),
        ("schedule: 0 0 */31 * MON#5", "has no moment that ever comes"),
        (
            "{schedule: '@daily', timeZone: Mars/Phobos}",
            "spec.timeZone: there is no time zone 'Mars/Phobos'",
        ),
    ],
)
def test_a_schedule_that_never_comes_is_refused_with_its_place(
    when: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(SAMPLE.read_text())
    document["spec"].update(yaml.safe_load(when))
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(document))
    told = wrong(["validate", job], capsys)
    assert said in told
    assert re.match(rf"{re.escape(str(job))}:\d+:\d+: ", told)


def test_a_local_run_says_that_it_does_not_wait_for_the_schedule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(SAMPLE.read_text())
    document["spec"].update({"schedule": "@yearly", "suspend": True})
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(document))
    (tmp_path / "results").write_text("a file")
    assert "the job runs once, now" in wrong(run(job, tmp_path, "pi-1=."), capsys)


def test_krews_manifest_names_each_archive_with_its_sum() -> None:
    digests = {("linux", "arm64"): "a" * 64, ("darwin", "arm64"): "b" * 64}
    made = plugin_archive.manifest(digests, "https://plugin.test")
    assert (made["kind"], made["metadata"]["name"]) == ("Plugin", "edgeetl")
    linux, _ = made["spec"]["platforms"]
    assert linux == {
        "selector": {"matchLabels": {"os": "linux", "arch": "arm64"}},
        "uri": "https://plugin.test/kubectl-edgeetl-linux-arm64.tar.gz",
        "sha256": "a" * 64,
        "bin": "kubectl-edgeetl",
    }
    assert len(made["spec"]["shortDescription"]) <= 50


def test_an_archive_of_the_plugin_has_what_its_machine_and_each_python_need(tmp_path: Path) -> None:
    elf = b"\x7fELF" + bytes(14)
    for python in ("311", "312", "313"):
        (tmp_path / f"_yaml.cpython-{python}-aarch64.so").write_bytes(elf + b"\xb7\x00")
    (tmp_path / "cel.abi3.so").write_bytes(elf + b"\xb7\x00")
    assert plugin_archive.strange(tmp_path, "linux", "arm64") == []
    assert len(plugin_archive.strange(tmp_path, "darwin", "arm64")) == 4
    (tmp_path / "cel.abi3.so").write_bytes(elf + b"\x3e\x00")
    (tmp_path / "_yaml.cpython-312-aarch64.so").unlink()
    assert plugin_archive.strange(tmp_path, "linux", "arm64") == [
        f"{tmp_path / 'cel.abi3.so'}: not for linux on arm64",
        f"{tmp_path / '_yaml'}: not for Python 3.12",
    ]
