"""kubectl and helm against one cluster: what tests say to Kubernetes."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.support.cluster import tools

_T = TypeVar("_T")


class CommandError(RuntimeError):
    """A command that failed, with what it said."""

    def __init__(self, argv: list[str], code: int, output: str, errors: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with {code}:\n{errors.strip() or output.strip()}")
        self.code = code
        self.output = output
        self.errors = errors


class Kube:
    """A cluster as its clients see it."""

    def __init__(self, kubeconfig: Path, context: str, scratch: Path) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        # kubectl and helm cache by server address, which other clusters use later.
        self.environment = {
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(scratch / "kube"),
            "HELM_CACHE_HOME": str(scratch / "helm-cache"),
            "HELM_CONFIG_HOME": str(scratch / "helm-config"),
            "HELM_DATA_HOME": str(scratch / "helm-data"),
        }

    def kubectl(self, *arguments: str | Path, stdin: str = "", timeout: float = 120) -> str:
        """Run kubectl and return what it prints; CommandError if it fails."""
        return self._run([tools.kubectl(), "--context", self.context, *arguments], stdin, timeout)

    def helm(self, *arguments: str | Path, timeout: float = 300) -> str:
        """Run helm and return what it prints."""
        return self._run([tools.helm(), "--kube-context", self.context, *arguments], "", timeout)

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get … -o json` says, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, manifest: str | Path | dict[str, Any], namespace: str = "") -> str:
        """Apply YAML text, a file, or an object."""
        inside = ["-n", namespace] if namespace else []
        if isinstance(manifest, Path):
            return self.kubectl("apply", *inside, "-f", manifest)
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", *inside, "-f", "-", stdin=text)

    def install_crd(self, path: Path) -> None:
        """Apply CRD files and wait until the API server serves them."""
        self.kubectl("apply", "--server-side", "-f", path)
        # A CRD has no conditions at all in its first moments, which `kubectl wait` calls an error.
        until(
            lambda: self.wait("crd", "--all", condition="Established", timeout=30),
            "the CRDs are established",
            timeout=30,
        )

    def wait(
        self,
        *what: str,
        condition: str = "",
        jsonpath: str = "",
        timeout: float = 120,
        namespace: str = "",
    ) -> str:
        """Wait as `kubectl wait` does: for `Ready`, or for `{.status.phase}=Succeeded`."""
        inside = ["-n", namespace] if namespace else []
        goal = f"jsonpath={jsonpath}" if jsonpath else f"condition={condition}"
        limit = f"--timeout={timeout:.0f}s"
        arguments = ("wait", *inside, f"--for={goal}", limit, *what)
        return self.kubectl(*arguments, timeout=timeout + 30)

    def logs(self, pod: str, *arguments: str, namespace: str = "default") -> str:
        """Return a pod's log."""
        return self.kubectl("logs", "-n", namespace, pod, *arguments)

    def exec(self, pod: str, *command: str, namespace: str = "default") -> str:
        """Run a command in a pod and return its output."""
        return self.kubectl("exec", "-n", namespace, pod, "--", *command)

    def _run(self, argv: list[str | Path], stdin: str, timeout: float) -> str:
        words = [str(word) for word in argv]
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **self.environment},
        )
        if done.returncode:
            shown = [Path(words[0]).name, *words[1:]]
            raise CommandError(shown, done.returncode, done.stdout, done.stderr)
        return done.stdout


def until(get: Callable[[], _T], what: str, timeout: float = 60, every: float = 0.2) -> _T:
    """Return the first true value of `get`; errors count as 'not yet' until the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        problem: Exception | None = None
        try:
            if value := get():
                return value
        except (CommandError, subprocess.TimeoutExpired, OSError, LookupError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s") from problem
        time.sleep(every)
