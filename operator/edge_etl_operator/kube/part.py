"""What Kubernetes' objects have in common, and how what many of them say is kept once."""

import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from edge_etl_operator.api import GROUP

_OURS: Final = f"{GROUP}/"
_Value = TypeVar("_Value")


# Without gc, since tens of thousands are kept, and what was decoded from JSON has no cycles.
class Part(msgspec.Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    """A part of an object; null and absent fields are the same to Kubernetes."""


class OwnerReference(Part, frozen=True, kw_only=True):
    """Who an object belongs to."""

    uid: str


class Metadata(Part, frozen=True, kw_only=True):
    """Name, identity and labels of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None

    def owned_by(self, uid: str) -> bool:
        """Tell whether the object with a UID is an owner."""
        return uid in [owner.uid for owner in self.owner_references]


class OwnMetadata(Metadata, frozen=True, kw_only=True):
    """Metadata of what belongs to a run: of its labels those that say to which one."""

    def __post_init__(self) -> None:
        own = {
            key: sys.intern(value) for key, value in self.labels.items() if key.startswith(_OURS)
        }
        becomes(self, namespace=sys.intern(self.namespace), labels=own)


class Condition(Part, frozen=True, kw_only=True):
    """A condition of any object."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


def holds(conditions: tuple[Condition, ...], kind: str) -> bool:
    """Tell whether the condition of a type, of which there is one at most, is True."""
    for each in conditions:
        if each.type == kind:
            return each.status == "True"
    return False


def becomes(part: Part, **fields: Any) -> None:
    """Give fields of an object another form while it is decoded, before anybody sees it."""
    for name, value in fields.items():
        msgspec.structs.force_setattr(part, name, value)


def shared(value: _Value) -> _Value:
    """Return a value that is kept already, if it is equal: thousands of pods say the same."""
    kept: _Value = _kept(value)
    return kept


@lru_cache(maxsize=1024)
def _kept(value: Any) -> Any:
    return value
