"""A real Kubernetes cluster on one Linux machine, from package registries alone.

Kubernetes, its datastore (kine), CoreDNS, local-path-provisioner and helm are
built from pinned Go modules (`go/`), the container runtime comes from Debian,
and every node lives in namespaces of its own, so that cutting a node's power or
its network is what it is on a Raspberry Pi: everything on it is gone at once.

* `ApiServer()`: a control plane alone, in seconds, without root.
* `Cluster(nodes=3)`: nodes that run pods; needs root on Debian.
* `tools`: helm, kubectl and kubeconform as paths.
* `python -m tests.support.cluster up`: the same cluster for a person.
"""

from tests.support.cluster.api_server import ApiServer
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.kube import CommandError, Kube, until
from tests.support.cluster.verbs import AnyCluster, Machine

__all__ = ["AnyCluster", "ApiServer", "Cluster", "CommandError", "Kube", "Machine", "until"]
