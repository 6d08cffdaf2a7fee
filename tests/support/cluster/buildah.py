"""Building the project's Dockerfiles without a daemon and without a registry."""

import contextlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.cluster.cache import REPOSITORY, cache_dir, digest

# Arguments that a Dockerfile may declare, to reach package registries through a private authority.
_AUTHORITY_ARGUMENTS = ("PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO", "REQUESTS_CA_BUNDLE")
_AUTHORITY_SOURCES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_AUTHORITY_INSIDE = "/tmp/build-ca.crt"
_KEPT_SECONDS = 24 * 3600.0
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile of the project; its context is the repository's root."""

    name: str
    dockerfile: Path
    target: str = ""
    """The stage of the Dockerfile, where it describes several images."""

    @property
    def reference(self) -> str:
        """The image's name on the nodes."""
        return f"localhost/pi-edge-spark/{self.name}:dev"

    def key(self, base: str) -> str:
        """Return a hash of the base, the Dockerfile and every file it copies."""
        files = context_files(self.dockerfile.read_text())
        contents = [part for path in files for part in (str(path), _content(REPOSITORY / path))]
        return digest(base, self.dockerfile.read_bytes(), *contents)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("operator", REPOSITORY / "operator/Dockerfile"),
        Recipe("edge", REPOSITORY / "edge_job_image/Dockerfile", "edge"),
        Recipe("edge-transform", REPOSITORY / "edge_job_image/Dockerfile", "edge-transform"),
        Recipe("spark", REPOSITORY / "spark_app/Dockerfile"),
    )
}

MOSQUITTO = Recipe("mosquitto", Path(__file__).with_name("mosquitto.Dockerfile"))
"""Not of the project: what the chart's broker runs in tests."""


def copied_paths(dockerfile: str) -> list[str]:
    """Return what a Dockerfile copies from its context, not from an earlier stage."""
    lines = re.sub(r"\\\n", " ", dockerfile).splitlines()
    sources: list[str] = []
    for line in lines:
        words = line.split()
        if not words or words[0].upper() not in {"COPY", "ADD"}:
            continue
        if not any(word.startswith("--from=") for word in words):
            sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def context_files(dockerfile: str) -> list[Path]:
    """Return the files that git knows, or would add, below what a Dockerfile copies."""
    patterns = [".dockerignore", *copied_paths(dockerfile)]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({Path(name) for name in listed.split("\0") if (REPOSITORY / name).is_file()})


@dataclass(frozen=True)
class Base:
    """The image that another is built on: for which architecture, its name and its archive."""

    architecture: str
    reference: str
    archive: Path


def build(recipe: Recipe, base: Base, target: Path, *others: Path) -> None:
    """Build an image and write it as an archive with uncompressed layers.

    ``others`` are archives that the build needs as well: those of stages that this machine runs.
    """
    dockerfile = recipe.dockerfile.read_text()
    if "engine/dist" in dockerfile:
        command = ["make", "--quiet", "wheel", f"ARCH={base.architecture}"]
        subprocess.run(command, cwd=REPOSITORY, check=True)
    if "spark_app/jars " in dockerfile:
        subprocess.run(["make", "--quiet", "jars"], cwd=REPOSITORY, check=True)
    for archive in (base.archive, *others):
        _buildah("pull", "--quiet", f"docker-archive:{archive}")
    tag = f"{recipe.reference}-{base.architecture}"
    # Not --platform: Debian's buildah would look for the image of every stage in that one.
    _buildah(
        *("bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers"),
        *("--build-arg", f"TARGETARCH={base.architecture}"),
        *("--build-arg", f"BASE={base.reference}"),
        *_build_arguments(dockerfile),
        *(("--target", recipe.target) if recipe.target else ()),
        *("--tag", tag, "--file", str(recipe.dockerfile), str(REPOSITORY)),
    )
    # Compressing takes longer than everything else, to be undone on the nodes.
    _push(tag, recipe.reference, target, "--disable-compression")
    forget_unnamed(_KEPT_SECONDS)


def forget_unnamed(seconds: float) -> None:
    """Remove images that lost their name to a newer one, and stages, both older than so long.

    A stage that does not change is an old image, too: it is built again once a day at most.
    """
    for image in json.loads(_buildah("images", "--json")):
        created = datetime.fromisoformat(image["createdatraw"][:19]).replace(tzinfo=UTC)
        if not image["names"] and datetime.now(UTC) - created > timedelta(seconds=seconds):
            # One that another image is built on stays.
            with contextlib.suppress(RuntimeError):
                _buildah("rmi", image["id"])


def compress(archive: Path, reference: str, target: Path) -> None:
    """Write an image's archive again, with layers as a registry would hold them."""
    image = _buildah("pull", "--quiet", f"oci-archive:{archive}").strip()
    target.unlink(missing_ok=True)
    _push(image, reference, target)


def _push(image: str, reference: str, target: Path, *options: str) -> None:
    _buildah("push", "--quiet", *options, image, f"oci-archive:{target}:{reference}")


def _build_arguments(dockerfile: str) -> list[str]:
    declared = set(re.findall(r"^ARG\s+(\w+)", dockerfile, re.MULTILINE))
    values = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    arguments: list[str] = []
    authority = next((os.environ[name] for name in _AUTHORITY_SOURCES if os.environ.get(name)), "")
    if authority:
        # The file alone: over all of /etc/ssl/certs, Debian's Java package fails to install.
        arguments += ["--volume", f"{Path(authority).resolve()}:{_AUTHORITY_INSIDE}:ro"]
        values |= {name: _AUTHORITY_INSIDE for name in _AUTHORITY_ARGUMENTS if name in declared}
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    if wheels and Path(wheels).is_dir() and "PIP_FIND_LINKS" in declared:
        arguments += ["--volume", f"{wheels}:{wheels}:ro"]
        values["PIP_FIND_LINKS"] = wheels
    for name, value in values.items():
        arguments += ["--build-arg", f"{name}={value}"]
    return arguments


def _buildah(*arguments: str) -> str:
    """Run buildah in a mount namespace of its own: its storage leaves a mount behind."""
    storage = cache_dir() / "buildah"
    command = ["unshare", "--mount", "buildah", "--root", str(storage / "root")]
    command += ["--runroot", str(storage / "run"), "--storage-driver", "overlay", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise RuntimeError(f"buildah {arguments[0]} failed:\n{shown}")
    return done.stdout


def _content(path: Path) -> bytes:
    return path.read_bytes() + str(path.stat().st_mode).encode()
