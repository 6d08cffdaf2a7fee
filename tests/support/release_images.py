"""`make images`: every image for every architecture, as archives that k3s takes from its folder.

An archive holds compressed layers, as a registry would. A node imports what lies in its
``/var/lib/rancher/k3s/agent/images`` when k3s starts. Beside each lies its list of materials.
"""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.support import sbom
from tests.support.cluster import buildah, images
from tests.support.cluster.archive import ARCHITECTURES


def main(target: Path) -> None:
    """Build what has changed, write the archives, and print a table of their sizes."""
    target.mkdir(parents=True, exist_ok=True)
    print("| image | architecture | compressed MB |\n|---|---|---|")
    for name in buildah.RECIPES:
        for architecture in ARCHITECTURES.values():
            image = images.project(name, architecture)
            written = target / f"{name}-{architecture}.tar"
            buildah.compress(image.archive, image.reference, written)
            sbom.write(image, target / f"{name}-{architecture}.cdx.json")
            print(f"| `{name}` | {architecture} | {compressed(written) / 1e6:.0f} |", flush=True)


def compressed(archive: Path) -> int:
    """Return how many bytes of layers a node fetches for an archive's image."""
    with tarfile.open(archive) as members:

        def document(name: str) -> Any:
            content = members.extractfile(name)
            assert content
            return json.load(content)

        (entry,) = document("index.json")["manifests"]
        manifest = document("blobs/" + entry["digest"].replace(":", "/"))
    return sum(layer["size"] for layer in manifest["layers"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
