"""A real API server without nodes: for everything that only talks to Kubernetes."""

import contextlib
import secrets
import socket

from tests.support.cluster import lifetime
from tests.support.cluster.control_plane import Address, ControlPlane
from tests.support.cluster.ending import end, sweep
from tests.support.cluster.kube import Kube, until
from tests.support.cluster.pki import CONTEXT
from tests.support.cluster.state import State

# Namespaces can be deleted, owned objects are collected, pods find their service
# account; but no controller runs Jobs, so that a test can play their part itself.
QUIET_CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
)


class ApiServer(Kube, lifetime.Closer):
    """kine and kube-apiserver on a free port of 127.0.0.1; needs no root and no namespaces."""

    def __init__(self, controllers: tuple[str, ...] = QUIET_CONTROLLERS) -> None:
        sweep()
        self.controllers = controllers
        self.state = State.create("api-server")
        address = Address(bind="127.0.0.1", port=_free_port(), clients="127.0.0.1")
        self.control_plane = ControlPlane(self.state, address)
        super().__init__(self.control_plane.kubeconfig, CONTEXT, self.state.folder / "scratch")

    def start(self) -> None:
        """Start it and wait until it can be used."""
        lifetime.close_at_exit(self)
        try:
            self.control_plane.start_api_server()
            if self.controllers:
                self.control_plane.start_controllers(self.controllers)
            if "serviceaccount-controller" in self.controllers:
                until(lambda: self.get("serviceaccount", "default"), "a service account")
        except BaseException as error:
            error.add_note(f"logs: {self.state.keep_logs()}")
            self.close()
            raise

    def close(self) -> None:
        """End its processes and remove its files."""
        with lifetime.undisturbed():
            end(self.state)
            lifetime.closed(self)


def _free_port() -> int:
    """Return a port below those that the kernel gives to clients, who could take it meanwhile."""
    while True:
        port = 20000 + secrets.randbelow(10000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
