"""Fetch what s3a-jars.txt lists from Maven Central: ``fetch_jars.py CACHE TARGET``.

By Ivy, which pyspark brings for its own packages. Nothing is taken whose SHA-256 is another.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from edge_etl_spark.java import class_path, java_home
from edge_etl_spark.trust import trusting

LIST = Path(__file__).with_name("s3a-jars.txt")


def listed() -> dict[str, tuple[str, ...]]:
    """Return for each file its SHA-256, organisation, module and revision."""
    lines = [line.split() for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return {f"{name}-{revision}.jar": (sha256, organisation, name, revision)
            for sha256, organisation, name, revision in lines}  # fmt: skip


def fetch(target: Path, scratch: Path) -> None:
    """Write the files to a directory, each as it is listed."""
    module = ElementTree.Element("ivy-module", version="2.0")
    ElementTree.SubElement(module, "info", organisation="pi-edge-spark", module="s3a")
    dependencies = ElementTree.SubElement(module, "dependencies")
    for _, organisation, name, revision in listed().values():
        ElementTree.SubElement(
            dependencies, "dependency", org=organisation, name=name, rev=revision,
            conf="default->master", transitive="false",
        )  # fmt: skip
    ElementTree.ElementTree(module).write(scratch / "ivy.xml")
    (ivy,) = (path for path in class_path().split(":") if Path(path).name.startswith("ivy-"))
    # Java does not look where Python and others find the authorities that this machine trusts.
    authority = os.environ.get("SSL_CERT_FILE")
    trust = [trusting(Path(authority), scratch)] if authority else []
    with java_home(None) as home:
        subprocess.run(
            [home / "bin/java", *trust, "-jar", ivy, "-error", "-ivy", scratch / "ivy.xml",
             "-cache", scratch / "cache", "-types", "jar",
             "-retrieve", f"{target}/[artifact]-[revision].[ext]"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    for name, (sha256, *_) in listed().items():
        found = hashlib.sha256((target / name).read_bytes()).hexdigest()
        if found != sha256:
            sys.exit(f"{name} has the SHA-256 {found}; {LIST.name} lists {sha256}")


def main(cache: Path, target: Path) -> None:
    """Have the files in the cache, and copy them to the target."""
    kept = cache / f"jars-{hashlib.sha256(LIST.read_bytes()).hexdigest()[:12]}"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            draft = Path(scratch, "jars")
            fetch(draft, Path(scratch))
            if not kept.exists():
                draft.rename(kept)
    if not target.exists() or {path.name for path in target.iterdir()} != set(listed()):
        shutil.rmtree(target, ignore_errors=True)
        # As new files: an archive of classes is of the class path that it was made with.
        shutil.copytree(kept, target, copy_function=shutil.copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
