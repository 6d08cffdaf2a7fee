"""`helm test`: ask the API server, as this pod's own account, what it may do.

The argument is a JSON list of lines such as ``yes create pods/exec. my-namespace``: whether it
should be so, the verb, the resource with its group behind the dot, and the namespace, ``*`` for
none. Exits with 1 if any answer is another one.
"""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def may(verb: str, resource: str, namespace: str) -> bool:
    """Return what the API server says."""
    name, _, group = resource.partition(".")
    name, _, subresource = name.partition("/")
    attributes = {
        "verb": verb,
        "resource": name,
        "subresource": subresource,
        "group": group,
        "namespace": "" if namespace == "*" else namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    place = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{place}:{port}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        json.dumps(review).encode(),
        {
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/json",
        },
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:  # noqa: S310
        return bool(json.load(answer)["status"]["allowed"])


def main() -> int:
    """Ask for each line."""
    wrong = 0
    for line in json.loads(sys.argv[1]):
        wanted, verb, resource, namespace = line.split()
        allowed = may(verb, resource, namespace)
        good = allowed == (wanted == "yes")
        wrong += not good
        print(
            "ok  " if good else "BAD ", "may" if allowed else "may not", verb, resource, namespace
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
