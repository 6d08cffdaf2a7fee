"""The certificate of the landing service, taken up again when it was renewed."""

import asyncio
import ssl
from pathlib import Path
from typing import Final, NoReturn

from edge_etl_job.errors import EdgeError
from edge_etl_job.logs import log

_EVERY_SECONDS: Final = 60.0


class Certificate:
    """A certificate with its key, both PEM, as the kubelet mounts a Secret of type TLS.

    ``context`` is what a server speaks TLS 1.2 or later with. Raise EdgeError when the files
    cannot be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = _server()
        self._stamps = self._load()

    async def renewed(self, every: float = _EVERY_SECONDS) -> NoReturn:
        """Take up what lies in the files when they change; look so often, in seconds."""
        while True:
            await asyncio.sleep(every)
            try:
                if self._stamped() == self._stamps:
                    continue
                self._stamps = self._load()
            except EdgeError as error:
                log.warning("keeping the old certificate: %s", error.message)
            else:
                log.info("certificate renewed")

    def _load(self) -> tuple[int, ...]:
        stamps = self._stamped()
        certificate, key = self._files
        try:
            # First into a context of its own: half of a pair would spoil the one in use.
            for context in (_server(), self.context):
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise self._wrong(error) from error
        return stamps

    def _stamped(self) -> tuple[int, ...]:
        try:
            return tuple(file.stat().st_mtime_ns for file in self._files)
        except OSError as error:
            raise self._wrong(error) from error

    def _wrong(self, error: OSError) -> EdgeError:
        certificate, key = self._files
        said = error.strerror or error
        return EdgeError("CertificateInvalid", f"{certificate} with {key}: {said}")


def _server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
