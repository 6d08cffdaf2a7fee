"""An image's root file system as a directory, and its programs run there without a container."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster.images import Image

PATH = "/opt/edge-etl/bin:/usr/bin:/bin"


def unpack(image: Image, root: Path) -> Path:
    """Unpack the layers of an image's archive over one another; return ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(image.archive) as content:
        content.extractall(scratch, filter="tar")
        blobs = Path(scratch, "blobs", "sha256")
        index = json.loads(Path(scratch, "index.json").read_text())
        manifest = blobs / index["manifests"][0]["digest"].removeprefix("sha256:")
        for layer in json.loads(manifest.read_text())["layers"]:
            blob = blobs / layer["digest"].removeprefix("sha256:")
            subprocess.run(["tar", "--extract", "--file", blob, "--directory", root], check=True)
    for name in ("hosts", "resolv.conf"):
        shutil.copy(Path("/etc", name), root / "etc" / name)
    return root


def run(root: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the image, as root, in its file system; an error if it fails."""
    script = (
        'root=$1; shift; mount --bind /proc "$root/proc"; mount --bind /dev "$root/dev"; '
        f'exec chroot "$root" env PATH={PATH} "$@"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(root), *command],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done
