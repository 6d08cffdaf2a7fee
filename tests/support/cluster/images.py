"""The images that the nodes get: the cluster's own, and the project's three."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import archive, binaries, buildah, emulation, packages
from tests.support.cluster.cache import cache_dir, digest, forget_older, locked, replaced, say
from tests.support.cluster.node_config import PAUSE

SUITE = "bookworm"


@dataclass(frozen=True)
class Image:
    """An image in the cache."""

    reference: str
    key: str
    architecture: str = archive.architecture()

    @property
    def archive(self) -> Path:
        """The file that containerd imports."""
        return cache_dir() / "images" / f"{self._folder}-{self.key}" / "image.tar"

    @property
    def _folder(self) -> str:
        name = self.reference.rpartition("/")[2].replace(":", "-")
        return f"{name}-{self.architecture}"

    def forget_older(self) -> None:
        """Remove what this one has replaced."""
        forget_older(self.archive.parent, f"{self._folder}-*")


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


def debian(architecture: str = archive.architecture()) -> Image:
    """Return the base of all other images, made from Debian's packages."""
    own = architecture == archive.architecture()
    reference = archive.DEBIAN if own else f"{archive.DEBIAN}-{architecture}"
    image = Image(reference, digest(SUITE, "minbase", "usr-is-merged", architecture), architecture)
    with locked("image-debian"):
        if not image.archive.exists():
            packages.require()
            emulation.require(architecture)
            say("making the Debian base image, this once (20 to 50 s, emulated 3 minutes)")
            with replaced(image.archive.parent) as draft:
                layer = draft / "layer.tar"
                _mmdebstrap(layer, architecture)
                archive.write(draft / "image.tar", reference, layer, ("bash",), architecture)
                layer.unlink()
    return image


def project(name: str, architecture: str = archive.architecture()) -> Image:
    """Return one of the project's own images, built if what it is made from has changed."""
    return _built(buildah.RECIPES[name], architecture)


def mosquitto() -> Image:
    """Return the broker's image."""
    return _built(buildah.MOSQUITTO, archive.architecture())


def _built(recipe: buildah.Recipe, architecture: str) -> Image:
    base = debian(architecture)
    image = Image(recipe.reference, recipe.key(base.key), architecture)
    # Who has its image does not wait for whoever builds another.
    if image.archive.exists():
        return image
    with locked("image-build"):
        if not image.archive.exists():
            packages.require()
            emulation.require(architecture)
            say(f"building the image {image.reference} for {architecture}")
            start = time.monotonic()
            with replaced(image.archive.parent) as draft:
                _build(recipe, base, draft / "image.tar")
            say(f"built {image.reference} in {time.monotonic() - start:.0f} s")
            image.forget_older()
    return image


def _build(recipe: buildah.Recipe, base: Image, target: Path) -> None:
    # The first stages run on this machine, whatever the image is for.
    others = [] if base.reference == archive.DEBIAN else [debian().archive]
    described = buildah.Base(base.architecture, base.reference, base.archive)
    buildah.build(recipe, described, target, *others)


def cluster_images() -> list[Image]:
    """Return what every cluster needs."""
    return [pause(), debian()]


def project_images() -> list[Image]:
    """Return the images that the chart names."""
    return [project(name) for name in buildah.RECIPES]


def _mmdebstrap(target: Path, architecture: str) -> None:
    """Bootstrap Debian; without the documentation and package lists that slim images lack too."""
    done = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--quiet", f"--architectures={architecture}"]
        + [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
        # Otherwise usrmerge comes, and with it 50 MB of Perl.
        + ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"]
        + [SUITE, str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed:\n{done.stderr}")
