"""What an image's list of materials says is what is in the image."""

import json
import tomllib
from pathlib import Path

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from tests.support import image_root, sbom
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.cluster import unavailable
from tests.support.cluster.images import project

PYTHON = """
import importlib.metadata, json
print(json.dumps([each.metadata["Name"] for each in importlib.metadata.distributions()]))
"""


@pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "")
def test_the_list_of_materials_names_what_is_there(tmp_path: Path) -> None:
    image = project("edge")
    sbom.write(image, tmp_path / "edge.cdx.json")
    text = (tmp_path / "edge.cdx.json").read_text()
    assert JsonStrictValidator(sbom.VERSION).validate_str(text) is None
    listed = sbom.packages(tmp_path / "edge.cdx.json")

    root = image_root.unpack(image, tmp_path / "root")
    query = ["dpkg-query", "--show", "--showformat", "${Package}\t${Version}\n"]
    debian = image_root.run(root, query).stdout.splitlines()
    assert listed["deb"] == dict(line.split("\t") for line in debian)
    names = json.loads(image_root.run(root, ["python3", "-c", PYTHON]).stdout)
    found = {name.lower().replace("_", "-") for name in names}
    assert set(listed["pypi"]) == found

    engine = REPOSITORY / "edge_job_image" / "engine"
    locked = tomllib.loads((engine / "Cargo.lock").read_text())["package"]
    direct = tomllib.loads((engine / "Cargo.toml").read_text())["dependencies"]
    crates = listed["cargo"]
    assert set(direct) <= set(crates)
    assert crates.items() <= {(each["name"], each["version"]) for each in locked}
