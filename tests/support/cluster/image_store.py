"""Images unpacked once for all nodes.

Importing a Spark image takes a node some 15 s. It is done once, into a folder
that is a containerd's whole store; each node then gets that store as hard links,
which takes a second and no space. What containerd unpacks it never writes again;
containers write into layers of their own.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster.cache import cache_dir, digest, forget_older, locked, replaced, say
from tests.support.cluster.images import Image

_SCRIPT = Path(__file__).with_name("image_store.sh")


def holding(images: Sequence[Image]) -> Path:
    """Return a store that holds exactly these images."""
    wanted = {image.reference: image.key for image in images}
    parent = cache_dir() / "image-stores"
    store = parent / digest(json.dumps(wanted, sort_keys=True))
    with locked("image-store"):
        if store.exists():
            os.utime(store)
        else:
            say(f"unpacking {len(images)} images for the nodes")
            with replaced(store) as draft:
                _fill(draft, images, _similar(parent))
                (draft / "images.json").write_text(json.dumps(wanted))
            forget_older(store, "*")
    return store / "containerd"


def copy(store: Path, target: Path) -> None:
    """Copy a store by hard links; only its databases are written again, so they are copied."""
    subprocess.run(["cp", "-a", "--link", store, target], check=True)
    for database in target.glob("*/*.db"):
        own = database.with_suffix(".copy")
        shutil.copy2(database, own)
        own.rename(database)


def _similar(parent: Path) -> Path | None:
    """Return the newest store, from which the next one differs by an image or two."""
    stores = [path.parent for path in parent.glob("*/images.json")]
    return max(stores, key=lambda path: path.stat().st_mtime, default=None)


def _fill(draft: Path, images: Sequence[Image], start: Path | None) -> None:
    present: dict[str, str] = {}
    if start:
        present = json.loads((start / "images.json").read_text())
        copy(start / "containerd", draft / "containerd")
    wanted = {image.reference: image.key for image in images}
    unwanted = [name for name, key in present.items() if wanted.get(name) != key]
    missing = [image for image in images if present.get(image.reference) != image.key]
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        + ["bash", str(_SCRIPT), str(draft), " ".join(unwanted)]
        + [str(image.archive) for image in missing],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"unpacking the images failed:\n{done.stderr[-2000:]}")
    (draft / "containerd.log").unlink()
