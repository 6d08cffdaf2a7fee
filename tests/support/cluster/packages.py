"""The Debian packages that a node is made of."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cluster.cache import locked, say

# What must be there, and the package it comes from.
NEEDED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "openssl": "openssl",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}


class MissingPackagesError(RuntimeError):
    """Programs that this process may not install itself."""


def missing() -> list[str]:
    """Return the packages whose programs are not there."""
    absent = {
        package
        for program, package in NEEDED.items()
        if not (Path(program).exists() if program.startswith("/") else shutil.which(program))
    }
    return sorted(absent)


def require() -> None:
    """Install what is missing where that is possible, otherwise say what to install."""
    with locked("packages"):
        absent = missing()
        if not absent:
            return
        install(*absent)


def install(*names: str) -> None:
    """Install packages, or say that a person must."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingPackagesError(f"install these packages first: {' '.join(names)}")
    say(f"installing {' '.join(names)}")
    _apt("update")
    _apt("install", "--yes", "--no-install-recommends", *names)


def _apt(*arguments: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", "--quiet", *arguments], env=quiet, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MissingPackagesError(f"apt-get {arguments[0]} failed:\n{done.stdout}{done.stderr}")
