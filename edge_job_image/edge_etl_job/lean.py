"""Import msgspec and pathlib without what they import and this program does not use.

A Pi starts this program every few minutes, mostly to find nothing new: then half of the time went
by with modules for other formats, schemas, URLs and identifiers. For the time of the import a
placeholder stands for each of them; who imports one later gets the real one.
"""

import sys
import typing
from types import ModuleType
from typing import Any, Final

_PLACEHOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "__future__": ("annotations",),
    "decimal": ("Decimal",),
    "msgspec._json_schema": ("schema", "schema_components"),
    "msgspec.inspect": (),
    "msgspec.toml": (),
    "msgspec.yaml": (),
    "ntpath": (),
    "urllib.parse": ("quote_from_bytes",),
    "uuid": ("UUID", "SafeUUID"),
}


class _Unused:
    """What nobody here needs: no value is one, and to call it is a mistake of this program."""

    unknown = None
    """What msgspec keeps of ``uuid.SafeUUID``."""

    def __init__(self, *values: Any, **named: Any) -> None:
        raise NotImplementedError("left out by edge_etl_job.lean")


class _Reference:
    """Stands for ``typing.ForwardRef``, of which nobody asks anything."""

    def __init__(self, *values: Any, **named: Any) -> None:
        pass


def load() -> None:
    """Import them."""
    # Before 3.12 the module `datetime` defines all of it in Python first.
    sys.modules.setdefault("datetime", __import__("_datetime"))
    absent = [name for name in _PLACEHOLDERS if name not in sys.modules]
    for name in absent:
        module = ModuleType(name)
        for attribute in _PLACEHOLDERS[name]:
            setattr(module, attribute, _Unused)
        sys.modules[name] = module
    # For Pythons older than ours: msgspec takes it where it is installed.
    extensions = sys.modules.pop("typing_extensions", None)
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    # msgspec makes one to see whether it can: its text is compiled, and so all classes of syntax
    # trees are made.
    reference = typing.ForwardRef
    typing.ForwardRef = _Reference  # type: ignore[assignment,misc]
    try:
        import pathlib  # noqa: F401

        import msgspec  # noqa: F401
    finally:
        typing.ForwardRef = reference  # type: ignore[misc]
        del sys.modules["typing_extensions"]
        if extensions is not None:
            sys.modules["typing_extensions"] = extensions
        for name in absent:
            del sys.modules[name]
