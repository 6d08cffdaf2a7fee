"""`make images-tarball`: all that a cluster without internet needs, as files to carry there.

For each architecture one archive of all images, which k3s takes from
``/var/lib/rancher/k3s/agent/images`` of each node, and the chart's package.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support import chart
from tests.support.cluster import archive, buildah, images, tools

_INDEX = "index.json"


def main(target: Path, architectures: Sequence[str]) -> None:
    """Write the files below a folder, and name them."""
    target.mkdir(parents=True, exist_ok=True)
    for architecture in architectures:
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            parts = []
            for name in buildah.RECIPES:
                image = images.project(name, architecture)
                parts.append(Path(scratch, f"{name}.tar"))
                buildah.compress(image.archive, image.reference, parts[-1])
            file = target / f"pi-edge-spark-images-{architecture}.tar"
            join(parts, file)
        print(f"{file} ({file.stat().st_size / 1e6:.0f} MB)")
    command = [tools.helm(), "package", chart.CHART, "--destination", target]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    print(*target.glob("*.tgz"), sep="\n")


def join(archives: Sequence[Path], target: Path) -> None:
    """Write the images of OCI archives as one; what they have in common is in it once."""
    manifests: list[Any] = []
    with tarfile.open(target, "w") as whole:
        written: set[str] = set()
        for path in archives:
            with tarfile.open(path) as part:
                for member in part:
                    content = part.extractfile(member)
                    if content is None or member.name in written:
                        continue
                    if member.name == _INDEX:
                        manifests += json.load(content)["manifests"]
                    else:
                        whole.addfile(member, content)
                        written.add(member.name)
        index = {"schemaVersion": 2, "manifests": manifests}
        archive.add(whole, _INDEX, json.dumps(index).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
