"""Have Java trust the private authority of a server's certificate."""

import hashlib
import re
import ssl
import struct
from pathlib import Path
from typing import Final
from uuid import uuid4

AUTHORITY_VARIABLE: Final = "EDGE_ETL_AUTHORITY"
"""Tells an executor where the authority is, if there is one."""
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)
_PASSWORD: Final = "changeit"  # noqa: S105  # Java's own: what is public needs no secret


def trusting(authority: Path, directory: Path) -> str:
    """Write the certificates of an authority as Java has them, and return the option to trust them.

    The format is JKS: each certificate with a name and a time, and a digest over all.
    """
    found = _CERTIFICATE.findall(authority.read_text())
    content = struct.pack(">III", 0xFEEDFEED, 2, len(found))
    for number, certificate in enumerate(found):
        encoded = ssl.PEM_cert_to_DER_cert(certificate)
        content += struct.pack(">I", 2) + _text(str(number)) + bytes(8) + _text("X.509")
        content += struct.pack(">I", len(encoded)) + encoded
    salted = _PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + content
    store = directory / f"authority-{uuid4().hex}.jks"
    store.write_bytes(content + hashlib.sha1(salted).digest())  # noqa: S324  # the format's
    return f"-Djavax.net.ssl.trustStore={store}"


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
