"""The images that the nodes get: the cluster's own, and the project's three."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import archive, binaries, buildah, packages
from tests.support.cluster.cache import cache_dir, digest, forget_older, locked, replaced, say
from tests.support.cluster.node_config import PAUSE

SUITE = "bookworm"


@dataclass(frozen=True)
class Image:
    """An image in the cache."""

    reference: str
    key: str

    @property
    def archive(self) -> Path:
        """The file that containerd imports."""
        name = self.reference.rpartition("/")[2].replace(":", "-")
        return cache_dir() / "images" / f"{name}-{self.key}" / "image.tar"


def pause() -> Image:
    """Return the image that holds a pod's namespaces open."""
    program = binaries.binary("pause")
    image = Image(PAUSE, program.parent.name.rpartition("-")[2])
    with locked("image-pause"):
        if not image.archive.exists():
            with replaced(image.archive.parent) as draft:
                layer = draft / "layer.tar"
                archive.layer_of(layer, program, "pause")
                archive.write(draft / "image.tar", image.reference, layer, ("/pause",))
                layer.unlink()
    return image


def debian() -> Image:
    """Return the base of all other images, made from Debian's packages."""
    image = Image(archive.DEBIAN, digest(SUITE, "minbase", "history", archive.architecture()))
    with locked("image-debian"):
        if not image.archive.exists():
            packages.require()
            say("making the Debian base image, this once (20 to 50 s)")
            with replaced(image.archive.parent) as draft:
                layer = draft / "layer.tar"
                _mmdebstrap(layer)
                archive.write(draft / "image.tar", image.reference, layer, ("bash",))
                layer.unlink()
    return image


def project(name: str) -> Image:
    """Return one of the project's own images, built if what it is made from has changed."""
    base = debian()
    recipe = buildah.RECIPES[name]
    image = Image(recipe.reference, recipe.key(base.key))
    with locked("image-build"):
        if not image.archive.exists():
            packages.require()
            say(f"building the image {image.reference}")
            start = time.monotonic()
            with replaced(image.archive.parent) as draft:
                buildah.build(recipe, base.archive, draft / "image.tar")
            say(f"built {image.reference} in {time.monotonic() - start:.0f} s")
            folder = image.archive.parent
            forget_older(folder, f"{folder.name.rpartition('-')[0]}-*")
    return image


def cluster_images() -> list[Image]:
    """Return what every cluster needs."""
    return [pause(), debian()]


def project_images() -> list[Image]:
    """Return the images of the three programs."""
    return [project(name) for name in buildah.RECIPES]


def _mmdebstrap(target: Path) -> None:
    """Bootstrap Debian; without the documentation and package lists that slim images lack too."""
    done = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--quiet"]
        + [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
        + [SUITE, str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed:\n{done.stderr}")
