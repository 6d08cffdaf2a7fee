"""Running programs of another architecture: QEMU's user mode, started by the kernel itself."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cluster import archive, packages
from tests.support.cluster.cache import locked, say

_BINFMT = Path("/proc/sys/fs/binfmt_misc")

# The name in QEMU, and the number of the machine in an ELF header (elf(5)), little-endian.
_MACHINES = {"amd64": ("x86_64", r"\x3e\x00"), "arm64": ("aarch64", r"\xb7\x00")}


def require(architecture: str) -> None:
    """Have the kernel run such programs, as on a machine of that architecture.

    Where it cannot be arranged, the error says what a person with more rights must do.
    """
    if architecture == archive.architecture():
        return
    machine, number = _MACHINES[architecture]
    with locked("emulation"):
        # Debian's mmdebstrap asks arch-test whether such programs run here.
        if not (shutil.which("arch-test") and shutil.which(f"qemu-{machine}-static")):
            packages.install("qemu-user-static", "arch-test")
        if not (_BINFMT / f"qemu-{machine}").exists():
            _register(machine, number)


def _register(machine: str, number: str) -> None:
    """Tell the kernel; Debian's package does it only where systemd or binfmt-support runs."""
    if os.geteuid() != 0:
        command = (
            f"docker run --privileged tonistiigi/binfmt, or root: update-binfmts qemu-{machine}"
        )
        raise packages.MissingPackagesError(f"programs for {machine} do not run here ({command})")
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=True)
    if (_BINFMT / f"qemu-{machine}").exists():
        return
    say(f"having the kernel run programs for {machine}")
    interpreter = shutil.which(f"qemu-{machine}-static")
    # Programs and libraries (ELF types 2 and 3) of 64 bits. F: the kernel opens QEMU now, so that
    # it is found in every root file system; P: a program sees the name that it was called by.
    magic = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00" + number
    mask = r"\xff" * 7 + r"\x00" * 9 + r"\xfe\xff\xff\xff"
    rule = f":qemu-{machine}:M::{magic}:{mask}:{interpreter}:PF"
    (_BINFMT / "register").write_text(rule)
