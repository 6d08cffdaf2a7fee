"""The parts of the test cluster that only compute."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import sharing
from tests.support.cluster import addons, archive, binaries, buildah, node_config, packages
from tests.support.cluster.cache import REPOSITORY, digest, locked, replaced
from tests.support.cluster.control_plane import CLUSTER_DNS
from tests.support.cluster.external import KUBECONFIG, NotAvailableError, named_by_user
from tests.support.cluster.images import Image
from tests.support.cluster.install import image_values
from tests.support.cluster.network import GATEWAY
from tests.support.cluster.processes import Process, identify, kill, spawn
from tests.support.cluster.state import State


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_EDGE_SPARK_CACHE", str(tmp_path))


def test_a_digest_tells_where_one_part_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") == digest(b"a")


def test_every_tool_is_pinned() -> None:
    for tool in binaries.TOOLS.values():
        assert (tool.module / "go.mod").exists()
        assert tool.build_arguments()


def test_a_tools_key_follows_its_sources_and_the_compiler() -> None:
    kine, helm = binaries.TOOLS["kine"], binaries.TOOLS["helm"]
    assert kine.key("go1.26.1") == kine.key("go1.26.1")
    assert kine.key("go1.26.1") != kine.key("go1.26.2")
    assert kine.key("go1.26.1") != helm.key("go1.26.1")


@pytest.mark.parametrize(
    "go_mod",
    ["require example.com/m v1.2.3\n", "require (\n\texample.com/m v1.2.3 // indirect\n)\n"],
)
def test_a_version_is_read_from_go_mod(go_mod: str) -> None:
    assert binaries.pinned_version(go_mod, "example.com/m") == "v1.2.3"
    with pytest.raises(LookupError, match=r"example\.com/other"):
        binaries.pinned_version(go_mod, "example.com/other")


def test_what_a_dockerfile_copies_from_its_context() -> None:
    dockerfile = """
FROM debian AS build
COPY pyproject.toml uv.lock /src/
COPY --chown=1:1 operator \\
     /src/operator
RUN echo COPY nothing here
FROM debian
COPY --from=build /opt /opt
ADD manifests/*.yaml /
"""
    copied = ["pyproject.toml", "uv.lock", "operator", "manifests/*.yaml"]
    assert buildah.copied_paths(dockerfile) == copied


def test_context_files_are_what_git_knows_below_it() -> None:
    files = buildah.context_files("COPY pyproject.toml tests/support/cluster /x/\n")
    assert Path("pyproject.toml") in files
    assert Path("tests/support/cluster/node.sh") in files
    assert not [path for path in files if "__pycache__" in path.parts]


def test_every_recipe_is_a_dockerfile_of_the_project() -> None:
    for recipe in buildah.RECIPES.values():
        assert recipe.dockerfile.is_file()
        assert recipe.key("base") != recipe.key("another base")


def fail_halfway(entry: Path) -> None:
    with replaced(entry) as draft:
        (draft / "half").touch()
        raise ZeroDivisionError


@pytest.mark.usefixtures("_own_cache")
def test_a_cache_entry_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    with pytest.raises(ZeroDivisionError):
        fail_halfway(entry)
    assert list(tmp_path.iterdir()) == []
    with replaced(entry) as draft:
        (draft / "whole").touch()
    assert [path.name for path in entry.iterdir()] == ["whole"]


@pytest.mark.usefixtures("_own_cache")
def test_a_lock_can_be_taken_again() -> None:
    for _ in range(2):
        with locked("something"):
            pass


def test_an_image_archive_names_its_layer_by_content(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"machine code")
    for name in ("first", "second"):
        archive.layer_of(tmp_path / f"{name}.layer", program, "pause")
        layer = tmp_path / f"{name}.layer"
        archive.write(tmp_path / f"{name}.tar", "localhost/x:dev", layer, ("/pause",))
    assert (tmp_path / "first.layer").read_bytes() == (tmp_path / "second.layer").read_bytes()


def test_the_addons_use_the_addresses_of_the_cluster() -> None:
    documents = yaml.safe_load_all((addons.MANIFESTS / "addons.yaml").read_text())
    objects = {document["kind"]: document for document in documents}
    assert objects["Service"]["spec"]["clusterIP"] == CLUSTER_DNS
    assert objects["EndpointSlice"]["endpoints"] == [{"addresses": [GATEWAY]}]
    helper = yaml.safe_load(objects["ConfigMap"]["data"]["helperPod.yaml"])
    assert helper["spec"]["containers"][0]["image"] == archive.DEBIAN


def test_a_node_serves_its_own_range_of_pods() -> None:
    network = node_config.cni("10.42.7.0/24")
    assert network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.42.7.0/24"}]]


def test_the_chart_is_told_to_take_images_from_the_nodes() -> None:
    values = image_values([Image("localhost/pi-edge-spark/edge:dev", "key")])
    repository = "localhost/pi-edge-spark/edge"
    assert values == {
        "images": {"edge": {"repository": repository, "tag": "dev", "pullPolicy": "Never"}}
    }


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "NEEDED", {"no-such": "b", "/no/such": "a", "nor-this": "a"})
    assert packages.missing() == ["a", "b"]


def test_an_external_cluster_is_named_completely_or_not_at_all() -> None:
    assert named_by_user({}) is None
    with pytest.raises(ValueError, match="PI_EDGE_SPARK_CONTEXT"):
        named_by_user({"PI_EDGE_SPARK_KUBECONFIG": "/some/where"})


def test_files_are_shared_out_over_two_clusters_and_over_one_that_is_named() -> None:
    files = [f"tests/e2e/{path.name}" for path in (REPOSITORY / "tests/e2e").glob("test_*.py")]
    assert {*sharing.ROUGH, *sharing.ALONE} <= {Path(file).stem for file in files}
    alone = {f"tests/e2e/{name}.py" for name in sharing.ALONE}

    def scopes(environment: dict[str, str]) -> set[str]:
        return {sharing.together(f"{file}::test_it", environment) for file in files}

    assert scopes({}) == {"rough e2e", "e2e", *alone}
    assert scopes({KUBECONFIG: "own"}) == {"e2e", *alone}


def test_an_external_cluster_has_no_power_switch() -> None:
    environment = {"PI_EDGE_SPARK_KUBECONFIG": "/some/where", "PI_EDGE_SPARK_CONTEXT": "home"}
    cluster = named_by_user(environment)
    assert cluster is not None
    with pytest.raises(NotAvailableError, match="the power of pi-1"):
        cluster.node("pi-1").power_off()
    cluster.close()


def test_a_process_is_not_confused_with_a_later_one_of_its_pid() -> None:
    own = identify(os.getpid(), "this")
    assert own.alive()
    assert not Process(own.pid, own.started - 1, "an earlier one").alive()


@pytest.mark.usefixtures("_own_cache")
def test_a_cluster_remembers_what_it_started(tmp_path: Path) -> None:
    state = State.create("test", ["pi-1"])
    sleeper = state.record(spawn("sleeper", ["sleep", "60"], tmp_path / "log"))
    again = State(state.folder)
    assert again.nodes == ["pi-1"]
    assert again.running("sleeper") == sleeper
    assert not again.abandoned
    kill(again.processes())
    assert again.running("sleeper") is None


@pytest.mark.usefixtures("_own_cache")
def test_a_cluster_whose_owner_is_gone_is_abandoned() -> None:
    state = State.create("test")
    with subprocess.Popen(["true"]) as ended:
        pass
    record = (state.folder / "cluster.json").read_text()
    (state.folder / "cluster.json").write_text(
        record.replace(f'"pid": {os.getpid()}', f'"pid": {ended.pid}')
    )
    assert state.abandoned
