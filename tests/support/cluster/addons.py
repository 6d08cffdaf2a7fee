"""DNS and storage: what k3s brings along, run beside the API server."""

from pathlib import Path

from tests.support.cluster import binaries
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.kube import Kube

MANIFESTS = Path(__file__).parent / "manifests"


def start(kube: Kube, control_plane: ControlPlane) -> None:
    """Start both; pods may be created at once, they wait for what they need."""
    kube.apply(MANIFESTS / "addons.yaml")
    # Administrators both: what they may do is not what these tests are about.
    credentials = control_plane.internal_kubeconfig("addons", "addons", "system:masters")
    control_plane.spawn(
        "coredns",
        binaries.binary("coredns"),
        *("-conf", MANIFESTS / "Corefile"),
        environment={"KUBECONFIG": str(credentials)},
    )
    control_plane.spawn(
        "local-path-provisioner",
        binaries.binary("local-path-provisioner"),
        "start",
        *("--kubeconfig", credentials),
        *("--namespace", "local-path-storage"),
        *("--service-account-name", "local-path-helper"),
    )
