"""`make plugin`: kubectl's plugin as archives for krew, and the manifest that names them.

An archive holds the command's libraries for each Python that it can meet: what is compiled lies
side by side, since the names of such files tell the Python that they are for.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = "v0.1.0"
PYTHONS: Final = ("3.11", "3.12", "3.13")
PLATFORMS: Final = {
    ("linux", "amd64"): "x86_64-manylinux_2_28",
    ("linux", "arm64"): "aarch64-manylinux_2_28",
    ("darwin", "arm64"): "aarch64-apple-darwin",
}
# How compiled files begin: ELF has the machine at 18 (elf.h), Mach-O the CPU at 4 (mach/machine.h).
_HEADS: Final = {
    ("linux", "amd64"): ((0, b"\x7fELF"), (18, b"\x3e\x00")),
    ("linux", "arm64"): ((0, b"\x7fELF"), (18, b"\xb7\x00")),
    ("darwin", "arm64"): ((0, b"\xcf\xfa\xed\xfe"), (4, b"\x0c\x00\x00\x01")),
}
_UNIVERSAL: Final = b"\xca\xfe\xba\xbe"
"""Of a file for several CPUs of a Mac."""
_LAUNCHER: Final = """\
#!/bin/sh
# kubectl's plugin edgeetl: the libraries beside it, run by the machine's Python (3.11 or later).
here=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
PYTHONPATH="$here/lib" exec python3 "$here/plugin.py" "$@"
"""


_PROGRAM: Final = """\
import sys

from edge_etl_operator.cli import main

sys.argv[0] = "kubectl-edgeetl"
sys.exit(main())
"""


def build(folder: Path, url: str) -> None:
    """Write the archives and the manifest; ``url`` is where the archives will be."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for (system, machine), platform in PLATFORMS.items():
        archive = folder / f"kubectl-edgeetl-{system}-{machine}.tar.gz"
        with tempfile.TemporaryDirectory() as work:
            _fill(Path(work), platform)
            if found := strange(Path(work), system, machine):
                sys.exit("\n".join(found))
            with tarfile.open(archive, "w:gz") as file:
                file.add(work, arcname=".", filter=_anybody)
        digests[system, machine] = hashlib.sha256(archive.read_bytes()).hexdigest()
        print(f"{archive}: {archive.stat().st_size >> 20} MiB")
    text = yaml.safe_dump(manifest(digests, url), sort_keys=False)
    (folder / "edgeetl.yaml").write_text(text)


def manifest(digests: dict[tuple[str, str], str], url: str) -> dict[str, Any]:
    """Return krew's manifest of archives with these SHA-256 sums."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "edgeetl"},
        "spec": {
            "version": VERSION,
            "homepage": url,
            "shortDescription": "Watch, run and debug EdgeETLJobs on Raspberry Pis",
            "description": "Shows what becomes of a run on each Pi, looks for what keeps one from "
            "its success, drafts jobs from CSV files, and reads logs and reports.\n",
            "caveats": "Needs Python 3.11 or later as python3.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": system, "arch": machine}},
                    "uri": f"{url}/kubectl-edgeetl-{system}-{machine}.tar.gz",
                    "sha256": digest,
                    "bin": "kubectl-edgeetl",
                }
                for (system, machine), digest in digests.items()
            ],
        },
    }


def strange(folder: Path, system: str, machine: str) -> list[str]:
    """Return what is compiled for another machine, or not for all Pythons."""
    found, tags = [], defaultdict[Path, set[str]](set)
    for file in sorted(folder.rglob("*.so")):
        with file.open("rb") as opened:
            head = opened.read(20)
        own = all(head[at : at + len(part)] == part for at, part in _HEADS[system, machine])
        if not own and not (system == "darwin" and head.startswith(_UNIVERSAL)):
            found.append(f"{file}: not for {system} on {machine}")
        if tag := re.search(r"\.cpython-3(\d+)", file.name):
            tags[file.parent / file.name.partition(".")[0]].add(f"3.{tag[1]}")
    for module, pythons in tags.items():
        if missing := set(PYTHONS) - pythons:
            found.append(f"{module}: not for Python {', '.join(sorted(missing))}")
    return found


def _fill(work: Path, platform: str) -> None:
    """Put the launcher and the libraries into a folder."""
    uv, library = ROOT / ".tools/bin/uv", work / "lib"
    needs = work / "requirements.txt"
    export = ("export", "--quiet", "--frozen", "--package", "edge-etl-operator", "--no-dev")
    subprocess.run([uv, *export, "--no-emit-workspace", "-o", needs], check=True, cwd=ROOT)
    for python in PYTHONS:
        part = work / python
        where = ("--target", part, "--python-platform", platform, "--python-version", python)
        only = ("--only-binary", ":all:", "--require-hashes", "--requirement", needs)
        subprocess.run([uv, "pip", "install", "--quiet", *where, *only], check=True, cwd=ROOT)
        shutil.copytree(part, library, dirs_exist_ok=True)
        shutil.rmtree(part)
    needs.unlink()
    shutil.rmtree(library / "bin", ignore_errors=True)
    # The client's second half, for asyncio, is not used and is larger than all the rest.
    shutil.rmtree(library / "kubernetes" / "aio", ignore_errors=True)
    own = shutil.ignore_patterns("__pycache__")
    source = ROOT / "operator" / "edge_etl_operator"
    shutil.copytree(source, library / "edge_etl_operator", ignore=own)
    launcher = work / "kubectl-edgeetl"
    launcher.write_text(_LAUNCHER)
    (work / "plugin.py").write_text(_PROGRAM)
    launcher.chmod(0o755)


def _anybody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2])
