"""Image archives without a builder, for images that are one binary or one root file system."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

# The name under which Dockerfiles ask for it.
DEBIAN = "docker.io/library/debian:bookworm-slim"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """Return this machine's architecture as images name it."""
    return ARCHITECTURES[platform.machine()]


def write(
    target: Path,
    reference: str,
    layer: Path,
    command: tuple[str, ...],
    machine: str | None = None,
) -> None:
    """Write what `docker save` would: one image of one uncompressed layer."""
    with layer.open("rb") as content:
        layer_id = hashlib.file_digest(content, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": machine or architecture(),
            "os": "linux",
            "config": {"Cmd": list(command), "Env": [f"PATH={_PATH}"]},
            # Buildah refuses to build on a layer without a history.
            "history": [{"created_by": reference}],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_id}.tar"
    index = [{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}]
    with tarfile.open(target, "w") as image:
        image.add(layer, layer_name)
        for name, data in ((config_name, config), ("manifest.json", json.dumps(index).encode())):
            add(image, name, data)


def layer_of(target: Path, binary: Path, name: str) -> None:
    """Write a layer that holds one program; the same program gives the same bytes."""
    with tarfile.open(target, "w") as layer:
        add(layer, name, binary.read_bytes(), mode=0o755)


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    """Write a file into an archive; the same file gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    archive.addfile(member, io.BytesIO(data))
