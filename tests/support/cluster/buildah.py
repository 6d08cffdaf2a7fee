"""Building the project's Dockerfiles without a daemon and without a registry."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster.cache import REPOSITORY, cache_dir, digest

# Arguments that a Dockerfile may declare, to reach package registries through a private authority.
_AUTHORITY_ARGUMENTS = ("PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO", "REQUESTS_CA_BUNDLE")
_AUTHORITY_SOURCES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_AUTHORITY_INSIDE = "/tmp/build-ca.crt"
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile of the project; its context is the repository's root."""

    reference: str
    dockerfile: Path

    def key(self, base: str) -> str:
        """Return a hash of the base, the Dockerfile and every file it copies."""
        files = context_files(self.dockerfile.read_text())
        contents = [part for path in files for part in (str(path), _content(REPOSITORY / path))]
        return digest(base, self.dockerfile.read_bytes(), *contents)


RECIPES = {
    name: Recipe(f"localhost/pi-edge-spark/{name}:dev", REPOSITORY / member / "Dockerfile")
    for name, member in (
        ("operator", "operator"),
        ("edge", "edge_job_image"),
        ("spark", "spark_app"),
    )
}


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


def build(recipe: Recipe, base: Path, target: Path) -> None:
    """Build an image and write it as an archive with uncompressed layers."""
    if "engine/dist" in recipe.dockerfile.read_text():
        subprocess.run(["make", "--quiet", "wheel"], cwd=REPOSITORY, check=True)
    _buildah("pull", "--quiet", f"docker-archive:{base}")
    _buildah(
        *("bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers"),
        *_build_arguments(recipe.dockerfile.read_text()),
        *("--tag", recipe.reference, "--file", str(recipe.dockerfile), str(REPOSITORY)),
    )
    # Compressing takes longer than everything else, to be undone on the nodes.
    _buildah(
        *("push", "--quiet", "--disable-compression", recipe.reference),
        f"oci-archive:{target}:{recipe.reference}",
    )


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


def _buildah(*arguments: str) -> None:
    """Run buildah in a mount namespace of its own: its storage leaves a mount behind."""
    storage = cache_dir() / "buildah"
    command = ["unshare", "--mount", "buildah", "--root", str(storage / "root")]
    command += ["--runroot", str(storage / "run"), "--storage-driver", "overlay", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise RuntimeError(f"buildah {arguments[0]} failed:\n{shown}")


def _content(path: Path) -> bytes:
    return path.read_bytes() + str(path.stat().st_mode).encode()
