"""The configuration files of a node's three services."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cluster import network
from tests.support.cluster.control_plane import CLUSTER_DNS, ControlPlane

if TYPE_CHECKING:
    from tests.support.cluster.node import Node

PODS = "10.42.0.0/16"
PAUSE = "localhost/pi-edge-spark/pause:dev"


def address(node: "Node") -> str:
    """Return the node's address on the LAN."""
    return network.node_address(node.number)


def write(node: "Node", control_plane: ControlPlane) -> None:
    """Write everything into the node's `config` folder."""
    folder = node.folder / "config"
    (folder / "cni").mkdir(parents=True)
    server, authority = control_plane.address.for_nodes, control_plane.authority
    authority.kubeconfig(
        folder / "kubelet.kubeconfig", server, f"system:node:{node.name}", "system:nodes"
    )
    authority.kubeconfig(folder / "kube-proxy.kubeconfig", server, "system:kube-proxy")
    (folder / "containerd.toml").write_text(containerd(folder / "cni"))
    (folder / "resolv.conf").write_text(f"nameserver {network.GATEWAY}\n")
    documents = {
        "cni/10-pods.conflist": cni(network.pod_range(node.number)),
        "kubelet.json": kubelet(node.group, authority.certificate, folder / "resolv.conf"),
        "kube-proxy.json": kube_proxy(node.name, folder / "kube-proxy.kubeconfig"),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1))


def containerd(cni_folder: Path) -> str:
    """Return containerd's configuration; its folders are the defaults, which are the node's own."""
    return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_apparmor = true
# Without CAP_SYS_RESOURCE runc may not lower a score and dies without a word.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni_folder}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def cni(pods: str) -> dict[str, Any]:
    """Return the pod network: a routed link for each pod, no bridge.

    Over a bridge, an answer between two pods of one node would bypass the node's
    address translation, and services would need the br_netfilter module.
    """
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet(group: str, authority: Path, resolv_conf: Path) -> dict[str, Any]:
    """Return the kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "failSwapOn": False,
        "resolvConf": str(resolv_conf),
        # The controllers call a node absent after 20 s of silence.
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 16,
        # Nodes share the machine's disk and memory: what is free says nothing of one node.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
    }


def kube_proxy(name: str, kubeconfig: Path) -> dict[str, Any]:
    """Return kube-proxy's configuration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": PODS,
        "hostnameOverride": name,
        "mode": "iptables",
        # These are the machine's, not a namespace's: leave them as they are.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
