"""What the chart brings besides the programs, where only a real cluster can tell."""

from pathlib import Path

from tests.support import air_gap
from tests.support.cluster import AnyCluster
from tests.support.cluster.images import project_images
from tests.support.cluster.install import RELEASE
from tests.support.jobs import NAMESPACE


def test_helm_test_finds_every_right_as_it_should_be(pis: AnyCluster) -> None:
    told = pis.helm("test", RELEASE, "--namespace", NAMESPACE, "--timeout", "120s", timeout=700)
    assert told.count("Phase:          Succeeded") == 5


def test_a_node_takes_all_images_from_one_file(pis: AnyCluster, tmp_path: Path) -> None:
    own = {image.reference: image for image in project_images()}
    wanted = {name: image for name, image in own.items() if "/spark:" not in name}
    file = tmp_path / "images.tar"
    air_gap.join([image.archive for image in wanted.values()], file)
    # The Debian below all of them, and edge below edge-transform, are in it once.
    assert file.stat().st_size < 0.8 * sum(i.archive.stat().st_size for i in wanted.values())
    node = pis.node("pi-1")
    # Beside what the node's kubelet uses, which has these images already.
    ctr = ("ctr", "--namespace", "air-gap", "images")
    node.run(*ctr, "import", "--no-unpack", file)
    try:
        assert set(node.run(*ctr, "list", "--quiet").split()) == set(wanted)
        assert "incomplete" not in node.run(*ctr, "check")
    finally:
        node.run(*ctr, "remove", "--sync", *wanted)
