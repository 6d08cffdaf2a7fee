"""One node: a machine made of namespaces, with a power switch and a network cable."""

import subprocess
import time
from pathlib import Path

from tests.support.cluster import binaries, cgroups, image_store, node_config
from tests.support.cluster.cache import cache_dir
from tests.support.cluster.control_plane import CLUSTER_DNS, ControlPlane
from tests.support.cluster.network import Lan
from tests.support.cluster.processes import Process, kill, spawn
from tests.support.cluster.state import State
from tests.support.cluster.verbs import Machine

OWN_FOLDERS = ("/opt", "/var/lib", "/var/log")

_UNSHARE = ("unshare", "--net", "--mount", "--uts", "--ipc", "--pid")
_UNSHARE_AND_FORK = (*_UNSHARE, "--fork", "--kill-child", "--mount-proc")


class PowerError(RuntimeError):
    """A verb that does not fit the state that the node is in."""


class Node(Machine):
    """A node of a cluster; its state is in the cluster's folder, not in this object."""

    def __init__(
        self, state: State, lan: Lan, number: int, name: str, labels: dict[str, str]
    ) -> None:
        self.state = state
        self.lan = lan
        self.number = number
        self.name = name
        self.labels = labels
        self.folder = state.folder / "nodes" / name
        self.disk = self.folder / "disk"
        self.group = f"{state.prefix}/{name}"

    def path(self, inside: str) -> Path:
        """Return where on the host a folder of the node's own disk lies."""
        if not inside.startswith(OWN_FOLDERS):
            raise ValueError(f"only {', '.join(OWN_FOLDERS)} are a node's own, not {inside}")
        return self.disk / inside.lstrip("/")

    def create(self, control_plane: ControlPlane, images: Path) -> None:
        """Give the node its disk, with the images on it, and its configuration."""
        for own in ("opt/local-path-provisioner", "var/lib/kubelet", "var/lib/pi-edge-spark"):
            (self.disk / own).mkdir(parents=True)
        for own in ("var/log", "../logs"):
            (self.disk / own).mkdir()
        image_store.copy(images, self.disk / "var/lib/containerd")
        node_config.write(self, control_plane)

    def power_on(self) -> None:
        """Boot."""
        if self.powered():
            raise PowerError(f"{self.name} is on already")
        # The kubelet makes a group for pods beside that of the node's own services. When the
        # node's group can be removed, the last of its processes is gone.
        services = f"{self.group}/services"
        cgroups.create(services)
        machine = self.state.record(
            spawn(
                self.name,
                [*_UNSHARE_AND_FORK, "bash", Path(__file__).with_name("node.sh")],
                self.folder / "logs" / "boot.log",
                {
                    "NODE": self.name,
                    "CACHE": str(cache_dir()),
                    "DISK": str(self.disk.relative_to(cache_dir())),
                    "CONFIG": str(self.folder / "config"),
                    "LOGS": str(self.folder / "logs"),
                    "KUBERNETES": str(binaries.folder("kubernetes")),
                    "ADDRESS": node_config.address(self),
                    "LABELS": ",".join(f"{key}={value}" for key, value in self.labels.items()),
                },
            )
        )
        init = _child(machine)
        cgroups.join(services, init)
        self.lan.attach(self.number, init)  # which is what the node waits for

    def power_off(self) -> None:
        """Cut the power: every process of the node is gone at once, and so is its network."""
        machine = self._machine()
        kill([machine])  # the kernel then kills the first process inside, and it all the others
        self.lan.detach(self.number)
        cgroups.remove(self.group)

    def network_down(self) -> None:
        """Pull the network cable; what runs on the node goes on."""
        self.lan.set_port(self.number, "down")

    def network_up(self) -> None:
        """Put the cable back."""
        self.lan.set_port(self.number, "up")

    def powered(self) -> bool:
        """Say whether the node is on."""
        return self.state.running(self.name) is not None

    def run(self, *argv: str | Path) -> str:
        """Run a command on the node, outside any pod, and return its output."""
        init = str(_child(self._machine()))
        enter = ["nsenter", "--target", init, "--mount", "--net", "--uts", "--ipc", "--pid"]
        command = [*enter, "--", *(str(word) for word in argv)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command[8:])} failed: {done.stderr}")
        return done.stdout

    def import_image(self, archive: Path) -> None:
        """Add an image to the node's own."""
        self.run("ctr", "--namespace", "k8s.io", "images", "import", archive)

    def routes_services(self) -> bool:
        """Say whether kube-proxy has done its first round: before it, pods find no DNS."""
        return CLUSTER_DNS in self.run("iptables", "-t", "nat", "-S")

    def _machine(self) -> Process:
        machine = self.state.running(self.name)
        if machine is None:
            raise PowerError(f"{self.name} is off")
        return machine


def _child(process: Process) -> int:
    """Return the first process inside the namespaces that `unshare` made."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 10
    while process.alive() and time.monotonic() < deadline:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.01)
    raise PowerError(f"{process.what} did not start: see its boot.log")
