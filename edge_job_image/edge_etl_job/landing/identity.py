"""Who sends a request, proved by a pod's token, and what that allows.

The kubelet gives each edge pod a service-account token whose audience names the job and run.
The API server confirms it (TokenReview) and adds which pod on which node it was made for.
"""

import base64
import binascii
import math
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from edge_etl_job.landing.refusals import FORBIDDEN, UNAUTHENTICATED
from edge_etl_job.results.errors import ResultError
from edge_etl_job.results.layout import Attempt, Dataset, NodeRun, checked

_DOMAIN: Final = "pi-edge-spark.io"


@dataclass(frozen=True)
class Identity:
    """What the API server says of a token that it confirms."""

    user: str
    node: str | None
    pod_uid: str | None


class TokenReviewer(Protocol):
    """Whoever can tell whether a token is good."""

    async def review(self, token: str, audience: str) -> Identity | None:
        """Return whose token it is; None unless it is good for this audience."""


class _Claims(msgspec.Struct, frozen=True):
    aud: str | tuple[str, ...]
    exp: float = math.inf


def bearer(authorization: str | None) -> str:
    """Return the token of an Authorization header."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ResultError(UNAUTHENTICATED, "send the pod's token as `Authorization: Bearer`")
    return token.strip()


def expiry(token: str) -> float:
    """Return the Unix time at which the token says that it expires."""
    return _claims(token).exp


def audience(namespace: str, job: str, run: str) -> str:
    """Return the audience of the tokens with which a run's pods deliver."""
    return f"{_DOMAIN}/{namespace}/{job}/{run}"


def claimed_run(token: str, dataset: Dataset) -> str:
    """Return the run that a token claims to be for, so that the API server can be asked.

    Nothing is proved by it yet; but what is no token of this job is refused here, without a
    question to the API server.
    """
    claimed = _claims(token).aud
    prefix = audience(dataset.namespace, dataset.job, "")
    for name in (claimed,) if isinstance(claimed, str) else claimed:
        if name.startswith(prefix):
            return checked("run", name.removeprefix(prefix))
    message = f"the token is not for the job {dataset.namespace}/{dataset.job}"
    raise ResultError(UNAUTHENTICATED, message)


def authorise(identity: Identity, place: Dataset, account: str) -> None:
    """Raise unless the identity may use a place: its job's dataset, its node, its own attempt."""
    user = f"system:serviceaccount:{place.namespace}:{account}"
    if identity.user != user:
        raise ResultError(FORBIDDEN, f"the token is of {identity.user}, not of {user}")
    if isinstance(place, NodeRun) and identity.node != place.node:
        message = f"the token was made for the node {identity.node}, not for {place.node}"
        raise ResultError(FORBIDDEN, message)
    if isinstance(place, Attempt) and identity.pod_uid != place.attempt:
        message = f"the token is of the pod {identity.pod_uid}, not of {place.attempt}"
        raise ResultError(FORBIDDEN, message)


def _claims(token: str) -> _Claims:
    """Read what the middle part of a JSON Web Token says, unproved."""
    parts = token.split(".")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=_Claims)
    except (IndexError, ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise ResultError(UNAUTHENTICATED, "this is not a service-account token") from None
