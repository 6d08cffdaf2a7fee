"""The operator's settings, which the chart mounts as YAML; read once at the start."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

VARIABLE: Final = "EDGE_ETL_SETTINGS"
DEFAULT_PATH: Final = "/etc/edge-etl/settings.yaml"

AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00]*$", max_length=512)]
Identity = Annotated[int, Meta(ge=1)]
PullPolicy = Literal["IfNotPresent", "Always", "Never"]


class SettingsError(ValueError):
    """Settings that cannot be used; the message names the file, the field and the remedy."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of the settings; an unknown key is a mistake that must not pass silently."""


class Edge(_Part, frozen=True, kw_only=True):
    """The cleaning pods: image, identity in the cluster, identity on the node."""

    image: str
    transform_image: str
    """For jobs with rules of their own: it has pandas."""
    service_account: str
    pull_policy: PullPolicy = "IfNotPresent"
    run_as_user: Identity = 65532
    run_as_group: Identity = 65532
    work_size_limit: str = "2Gi"
    priority_class_name: str = ""


class Spark(_Part, frozen=True, kw_only=True):
    """The pods of driver and executors."""

    image: str
    service_account: str
    pull_policy: PullPolicy = "IfNotPresent"
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = {}
    priority_class_name: str = ""


class Landing(_Part, frozen=True, kw_only=True):
    """The landing service of a namespace: its URL, and the claim that holds its results.

    ``ca_secret`` names the Secret whose `ca.crt` pods trust when it speaks HTTPS.
    """

    namespace: str
    url: Annotated[str, Meta(pattern=r"^https?://")]
    claim: str
    ca_secret: str = ""


class Lease(_Part, frozen=True, kw_only=True):
    """The Lease object that the operator holds while it acts."""

    namespace: str
    name: str


class Settings(_Part, frozen=True, kw_only=True):
    """What an administrator decides for all jobs."""

    edge: Edge
    spark: Spark
    sources: dict[str, AbsolutePath] = {}
    state_path: AbsolutePath = "/var/lib/pi-edge-spark/state"
    image_pull_secrets: tuple[str, ...] = ()
    landing: Landing | None = None
    lease: Lease | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    max_parallel_nodes: Annotated[int, Meta(ge=1)] | None = None
    api_requests_per_second: Annotated[float, Meta(ge=1)] = 100.0


def load(path: str | None = None) -> Settings:
    """Read the settings from a path, else from where the environment or the chart puts them.

    Raise SettingsError when the file is missing or wrong.
    """
    place = Path(path or os.environ.get(VARIABLE, DEFAULT_PATH))
    try:
        return msgspec.yaml.decode(place.read_bytes(), type=Settings)
    except OSError as error:
        raise SettingsError(
            f"{place}: {error.strerror}; {VARIABLE} must name the operator's settings"
        ) from None
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{place}: {error}") from None
