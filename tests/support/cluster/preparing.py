"""What takes minutes the first time, done at once: Go compiles while packages are fetched."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.cluster import binaries, packages
from tests.support.cluster.images import Image, project_images


def prepare(*, project: bool) -> list[Image]:
    """Make all that a cluster needs and return the project's images, if they are wanted."""
    packages.require()
    with ThreadPoolExecutor(1) as pool:
        compiled = pool.submit(_compile)
        images = project_images() if project else []
        compiled.result()
    return images


def _compile() -> None:
    for name in ("kubernetes", "kine", "coredns", "local-path-provisioner", "pause", "helm"):
        binaries.folder(name)
