"""A cluster's network: one namespace that is its switch, router and control plane.

    host --uplink-- [ LAN namespace: API server, bridge `lan` ] --port N-- [ node N ]

Everything but the host's end of the uplink lives in namespaces without a name,
which the kernel removes with the last process in them: routes, bridge, iptables
rules and sysctls of a cluster can neither meet another's nor stay behind. The
addresses inside are therefore the same in every cluster.
"""

import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.cluster.cache import locked
from tests.support.cluster.processes import spawn
from tests.support.cluster.state import State

GATEWAY = "172.30.0.1"
# RFC 2544 sets this range aside for tests between devices: no real network uses it.
UPLINKS = "198.18"


class Lan:
    """The network between the nodes of a cluster."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.link = f"{state.prefix}-h"

    def holder(self) -> int:
        """Return the process whose namespace it is."""
        process = self.state.running("lan")
        if process is None:
            raise RuntimeError("the cluster's network is gone: its holder has ended")
        return process.pid

    def create(self) -> None:
        """Make the namespace, the bridge and the uplink."""
        log = self.state.folder / "logs" / "lan.log"
        holder = self.state.record(spawn("lan", ["unshare", "--net", "sleep", "infinity"], log)).pid
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{holder}/ns/net").readlink() == own:
            time.sleep(0.01)
        _run(holder, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run(holder, "sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0")
        _ip(
            holder,
            "link set lo up",
            "link add lan type bridge",
            f"addr add {GATEWAY}/24 dev lan",
            "link set lan up",
        )
        with locked("uplinks"):
            host, inside = _free_pair(int(self.state.id, 16))
            _ip(
                None,
                f"link add {self.link} type veth peer name uplink netns {holder}",
                f"addr add {host}/30 dev {self.link}",
                f"link set {self.link} up",
            )
        _ip(
            holder,
            f"addr add {inside}/30 dev uplink",
            "link set uplink up",
            f"route add default via {host}",
        )
        # The host knows no way back to nodes and pods: they reach it under one address.
        masquerade = ("-t", "nat", "-A", "POSTROUTING", "-o", "uplink", "-j", "MASQUERADE")
        _run(holder, "iptables", *masquerade)

    def address(self) -> str:
        """Return the address at which the host reaches the API server."""
        answer = json.loads(_run(self.holder(), "ip", "-j", "-4", "addr", "show", "uplink"))
        return str(answer[0]["addr_info"][0]["local"])

    def host_address(self) -> str:
        """Return the address at which nodes and pods reach the host."""
        first, _, last = self.address().rpartition(".")
        return f"{first}.{int(last) - 1}"

    def attach(self, number: int, init: int) -> None:
        """Connect a node, known by the first process of its namespaces."""
        port, address = f"port{number}", node_address(number)
        _ip(
            self.holder(),
            f"link add {port} type veth peer name eth0 netns {init}",
            f"link set {port} master lan up",
            f"route replace {pod_range(number)} via {address}",
        )
        _ip(
            init,
            "link set lo up",
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {GATEWAY}",
        )

    def set_port(self, number: int, state: str) -> None:
        """Pull a node's network cable (`down`) or put it back (`up`)."""
        _ip(self.holder(), f"link set port{number} {state}")

    def detach(self, number: int) -> None:
        """Remove what is left of a node's port after a power cut."""
        _run(self.holder(), "ip", "link", "delete", f"port{number}", check=False)


def node_address(number: int) -> str:
    """Return a node's own address."""
    return f"172.30.0.{10 + number}"


def pod_range(number: int) -> str:
    """Return the range that a node's pods get their addresses from."""
    return f"10.42.{number}.0/24"


def links(prefix: str) -> list[str]:
    """Return the host's links whose names begin with a prefix."""
    shown = json.loads(_run(None, "ip", "-j", "link", "show"))
    return [link["ifname"] for link in shown if link["ifname"].startswith(prefix)]


def delete_link(name: str) -> None:
    """Remove a link of the host; it may have gone with its namespace already."""
    _run(None, "ip", "link", "delete", name, check=False)


def _free_pair(seed: int) -> tuple[str, str]:
    """Return two neighbouring addresses that no link of the host has."""
    shown = json.loads(_run(None, "ip", "-j", "-4", "addr", "show"))
    used = {info["local"] for link in shown for info in link["addr_info"]}
    for attempt in range(seed, seed + 16384):
        third, fourth = divmod(attempt % 16384, 64)
        host, inside = (f"{UPLINKS}.{third}.{fourth * 4 + end}" for end in (1, 2))
        if host not in used:
            return host, inside
    raise RuntimeError(f"no free pair of addresses in {UPLINKS}.0.0/16")


def _ip(space: int | None, *commands: str) -> None:
    """Run `ip` commands in the network namespace of a process, or the host's."""
    _run(space, "ip", "-batch", "-", stdin="\n".join(commands))


def _run(space: int | None, *argv: str, stdin: str = "", check: bool = True) -> str:
    inside: Iterable[str] = () if space is None else ("nsenter", f"--net=/proc/{space}/ns/net")
    done = subprocess.run(
        [*inside, *argv], input=stdin, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)} failed: {done.stderr.strip()}\n{stdin}")
    return done.stdout
