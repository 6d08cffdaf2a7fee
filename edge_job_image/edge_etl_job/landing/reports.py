"""Reports and what was rejected, for people: read-only, where no network reaches the pod.

It listens on the loopback address alone. Who gets there was let through by the API server, which
forwards ports for those who may (`pods/portforward`): `kubectl edgeetl report` and `kubectl
edgeetl quarantine` do it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from edge_etl_job.landing.answers import answer_errors
from edge_etl_job.landing.refusals import FORBIDDEN, NO_REPORT, NOTHING_REJECTED
from edge_etl_job.results.durable import explained
from edge_etl_job.results.errors import ResultError
from edge_etl_job.results.layout import MANIFEST, Attempt, Dataset, Report

ADDRESS: Final = "127.0.0.1"
LATEST: Final = "latest"
_LIST: Final = "/v1/reports/{namespace}/{job}"
_REPORT: Final = "/v1/reports/{namespace}/{job}/{run}"
_MANIFESTS: Final = "/v1/manifests/{namespace}/{job}"
_REJECTED: Final = "/v1/rejected/{namespace}/{job}/{run}/{node}/{attempt}"
_REJECTED_FILE: Final = "rejected.parquet"
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS: Final = {
    # The page's own policy is narrower; this one is for whatever else may lie there.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Reports:
    """The service over one volume."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[answer_errors, _only_local])
        app.router.add_get(_LIST, self._list)
        app.router.add_get(_REPORT, self._get)
        app.router.add_get(_MANIFESTS, self._get_manifests)
        app.router.add_get(_REJECTED, self._get_rejected)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        runs = await asyncio.to_thread(self._runs, Dataset(**request.match_info))
        return web.json_response({"runs": runs}, headers=_HEADERS)

    async def _get(self, request: web.Request) -> web.Response:
        names = dict(request.match_info)
        if names["run"] == LATEST:
            dataset = Dataset(names["namespace"], names["job"])
            runs = await asyncio.to_thread(self._runs, dataset)
            if not runs:
                raise ResultError(NO_REPORT, f"no run of {dataset.folder} has a report yet")
            names["run"] = runs[0]
        report = Report(**names)
        content = await asyncio.to_thread(self._read, report.path)
        if content is None:
            message = f"the run {report.run} of {report.folder} has no report"
            raise ResultError(NO_REPORT, message)
        return web.Response(
            body=content, content_type="text/html", charset="utf-8", headers=_HEADERS
        )

    async def _get_manifests(self, request: web.Request) -> web.StreamResponse:
        """Send what the nodes committed, a manifest in a line: all at once would fill the pod."""
        dataset = Dataset(**request.match_info)
        answer = web.StreamResponse(headers={**_HEADERS, "Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        for path in await asyncio.to_thread(self._manifests, dataset):
            if content := await asyncio.to_thread(self._read, path):
                await answer.write(msgspec.json.format(content, indent=-1) + b"\n")
        return answer

    async def _get_rejected(self, request: web.Request) -> web.StreamResponse:
        attempt = Attempt(**request.match_info)
        path = self._root / attempt.attempt_folder / _REJECTED_FILE
        if not await asyncio.to_thread(self._is_ours, path):
            message = f"{attempt.node} rejected nothing in the run {attempt.run}"
            raise ResultError(NOTHING_REJECTED, message)
        return web.FileResponse(path, headers=_HEADERS)

    def _runs(self, dataset: Dataset) -> list[str]:
        """Return the runs that have a report, the latest first."""
        with explained(self._root):
            found = (self._root / dataset.folder / "reports").glob("[0-9]*.html")
            return sorted((path.stem for path in found), reverse=True)

    def _manifests(self, dataset: Dataset) -> list[PurePosixPath]:
        """Return the paths of a job's manifests, in the order of the runs."""
        with explained(self._root):
            found = (self._root / dataset.folder / "runs").glob(f"*/*/{MANIFEST}")
            paths = sorted(found, key=lambda path: path.parts[-3:-1])
            return [PurePosixPath(path.relative_to(self._root)) for path in paths]

    def _read(self, relative: PurePosixPath) -> bytes | None:
        """Return a file below the root, None if there is none."""
        path = self._root / relative
        with explained(self._root):
            return path.read_bytes() if self._is_ours(path) else None

    def _is_ours(self, path: Path) -> bool:
        """Tell whether a file lies below the root: where pods mount the volume they may link."""
        with explained(self._root):
            return path.is_file() and path.resolve().is_relative_to(self._root.resolve())


@web.middleware
async def _only_local(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse names under which a web page could reach the forwarded port (DNS rebinding)."""
    if urlsplit(f"//{request.host}").hostname not in _LOCAL:
        raise ResultError(FORBIDDEN, "this is for localhost alone: forward the port")
    return await handler(request)
