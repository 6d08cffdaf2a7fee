"""Certificates and kubeconfigs of one cluster, by the openssl command.

Elliptic keys: a certificate takes some 10 ms, where RSA takes up to a second.
"""

import base64
import json
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

CONTEXT = "pi-edge-spark-test"

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self.account_key = folder / "service-accounts.key"
        self.account_public_key = folder / "service-accounts.pub"

    def create(self) -> None:
        """Make the authority and the key that signs service account tokens."""
        self.folder.mkdir(mode=0o700)
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "3650", "-subj", f"/CN={CONTEXT}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            *("-keyout", self.folder / "ca.key", "-out", self.certificate),
        )
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.account_key)
        _openssl("ec", "-in", self.account_key, "-pubout", "-out", self.account_public_key)

    def issue(self, name: str, subject: str, alternative_names: Sequence[str] = ()) -> None:
        """Make `name.crt` and `name.key`; alternative names are written as 'IP:…' or 'DNS:…'."""
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
        if alternative_names:
            extensions += ["-addext", "subjectAltName=" + ",".join(alternative_names)]
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "3650", "-subj", subject, *extensions),
            *("-CA", self.certificate, "-CAkey", self.folder / "ca.key"),
            *("-keyout", self.key(name), "-out", self.cert(name)),
        )

    def cert(self, name: str) -> Path:
        """Return where a certificate lies."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return where a key lies."""
        return self.folder / f"{name}.key"

    def kubeconfig(self, path: Path, server: str, user: str, group: str = "") -> Path:
        """Write a kubeconfig that holds all it needs, for a new client certificate."""
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        # Nodes are made at the same time, and some users are on every node.
        name = f"client-{secrets.token_hex(4)}"
        self.issue(name, subject)
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate)}
        credentials = {
            "client-certificate-data": _base64(self.cert(name)),
            "client-key-data": _base64(self.key(name)),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
            "current-context": CONTEXT,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML too
        return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")
