"""The list of materials of an image (CycloneDX): Debian's and Python's packages, jars, crates.

It is read out of the finished image's layers, so that it says what is there and not what was meant.
"""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from email import message_from_string
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from tests.support.cluster.images import Image

VERSION: Final = SchemaVersion.V1_6


def write(image: Image, target: Path) -> None:
    """Write an image's list of materials."""
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{image.reference}/{image.key}"))
    whole = Component(name=image.reference, type=ComponentType.CONTAINER)
    bom.metadata.component = whole
    # One that is there twice, in two jars, is one of the materials.
    found = {str(purl): purl for purls in _files(image.archive).values() for purl in purls}
    for reference, purl in sorted(found.items()):
        part = Component(
            name=purl.name,
            group=purl.namespace,
            version=purl.version or None,
            purl=purl,
            bom_ref=reference,
        )
        bom.components.add(part)
        bom.register_dependency(whole, [part])
    written = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=1)
    target.write_text(written + "\n")


def packages(document: Path) -> dict[str, dict[str, str]]:
    """Return the versions of a list's packages by kind (deb, pypi, maven, cargo) and name."""
    found: dict[str, dict[str, str]] = {}
    for component in json.loads(document.read_text())["components"]:
        purl = PackageURL.from_string(component["purl"])
        found.setdefault(purl.type, {})[purl.name] = component.get("version", "")
    return found


def _files(archive: Path) -> dict[str, list[PackageURL]]:
    """Return what files of an image are or list, by their paths."""
    found: dict[str, list[PackageURL]] = {}
    with tarfile.open(archive) as image:

        def blob(digest: str) -> io.BufferedReader:
            content = image.extractfile("blobs/" + digest.replace(":", "/"))
            assert isinstance(content, io.BufferedReader)
            return content

        index = image.extractfile("index.json")
        assert index
        (entry,) = json.load(index)["manifests"]
        for layer in json.load(blob(entry["digest"]))["layers"]:
            with tarfile.open(fileobj=blob(layer["digest"]), mode="r|*") as files:
                for member in files:
                    _take(files, member, found)
    return found


def _take(
    files: tarfile.TarFile, member: tarfile.TarInfo, found: dict[str, list[PackageURL]]
) -> None:
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    if name.startswith(".wh."):
        # A layer says so what of the lower ones is gone: a path, or all of a folder.
        gone = folder if name == ".wh..wh..opq" else f"{folder}/{name.removeprefix('.wh.')}"
        for path in [path for path in found if path == gone or path.startswith(f"{gone}/")]:
            del found[path]
    for pattern, read in _READERS.items():
        content = files.extractfile(member) if re.search(pattern, member.name) else None
        if content:
            found[f"{folder}/{name}"] = list(read(name, content.read()))


def _debian(_: str, status: bytes) -> Iterator[PackageURL]:
    for stanza in status.decode().split("\n\n"):
        package = message_from_string(stanza)
        if "installed" in str(package["Status"]).split():
            arch = {"arch": package["Architecture"]}
            yield PackageURL("deb", "debian", package["Package"], package["Version"], arch)


def _python(_: str, metadata: bytes) -> Iterator[PackageURL]:
    package = message_from_string(metadata.decode())
    yield PackageURL("pypi", name=package["Name"], version=package["Version"])


def _jar(name: str, content: bytes) -> Iterator[PackageURL]:
    """Give what a jar says that it is, and what has been put into it; else what its name says."""
    with zipfile.ZipFile(io.BytesIO(content)) as jar:
        poms = [each for each in jar.namelist() if each.endswith("/pom.properties")]
        lines = [jar.read(pom).decode().splitlines() for pom in poms]
    given = [dict(re.findall(r"^(\w+) *= *(.*)$", "\n".join(each), re.MULTILINE)) for each in lines]
    for each in given:
        yield PackageURL("maven", each["groupId"], each["artifactId"], each["version"])
    if not any(name.startswith(each["artifactId"]) for each in given):
        plain = re.fullmatch(r"(.+?)(?:-(\d.*))?\.jar", name)
        assert plain
        yield PackageURL("generic", name=plain[1], version=plain[2])


def _crates(_: str, document: bytes) -> Iterator[PackageURL]:
    listed: dict[str, Any] = json.loads(document)
    for component in listed["components"]:
        if component.get("purl", "").startswith("pkg:cargo/"):
            yield PackageURL.from_string(component["purl"])


_READERS: Final[dict[str, Callable[[str, bytes], Iterator[PackageURL]]]] = {
    r"^(\./)?var/lib/dpkg/status$": _debian,
    r"\.dist-info/METADATA$": _python,
    r"\.jar$": _jar,
    # maturin puts it into the engine's wheel.
    r"\.dist-info/sboms/[^/]+\.cyclonedx\.json$": _crates,
}
