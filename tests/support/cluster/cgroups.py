"""One cgroup per node, on cgroup v1 and v2, so that limits bite and nothing stays behind."""

import contextlib
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def unified() -> bool:
    """Say whether the machine has cgroup v2 alone."""
    return (ROOT / "cgroup.controllers").exists()


def available() -> bool:
    """Say whether cgroups can be made here."""
    roots = [root for root in _hierarchies() if (root / "cgroup.procs").exists()]
    return bool(roots) and all(os.access(root, os.W_OK) for root in roots)


def create(group: str) -> None:
    """Make a group such as `cluster/node/services`, with every controller usable in it.

    On v2 only groups without processes pass controllers on, so the last one does not.
    """
    for root in _hierarchies():
        folder = root
        for part in group.split("/"):
            parent, folder = folder, folder / part
            if unified():
                _delegate(parent)
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                # On v1 an empty cpuset refuses every process.
                if not unified() and (parent / name).exists():
                    (folder / name).write_text((parent / name).read_text())


def join(group: str, pid: int) -> None:
    """Move a process, and whatever it starts from now on, into a group."""
    for folder in exists(group):
        (folder / "cgroup.procs").write_text(str(pid))


def remove(group: str, timeout: float = 10) -> None:
    """Remove a group and all below it, once the kernel has let go of its last process."""
    deadline = time.monotonic() + timeout
    while left := exists(group):
        for folder in left:
            # Groups of pods go while this looks at them; `os.walk` passes over what is gone.
            for path, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    Path(path).rmdir()
        if exists(group) and time.monotonic() > deadline:
            raise TimeoutError(f"cgroup {group} still holds processes")
        time.sleep(0.02)


def exists(group: str) -> list[Path]:
    """Return where a group exists."""
    roots = [ROOT] if unified() else [path for path in ROOT.iterdir() if path.is_dir()]
    return [root / group for root in roots if (root / group).is_dir()]


def _hierarchies() -> list[Path]:
    """Return the root of each hierarchy; a hybrid's `unified` one has no controllers."""
    if unified():
        return [ROOT]
    if not ROOT.is_dir():
        return []
    found = {path.resolve() for path in ROOT.iterdir() if path.name != "unified"}
    return sorted(path for path in found if path.is_dir())


def _delegate(folder: Path) -> None:
    """Let children use the controllers (cgroup v2 asks for that at each level)."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
