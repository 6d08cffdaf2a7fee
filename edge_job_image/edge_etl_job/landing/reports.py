"""The reports of runs, for people: read-only, on an address of the pod that no network reaches.

It listens on the loopback address alone. Who gets there was let through by the API server, which
forwards ports for those who may (`pods/portforward`): `kubectl edgeetl report` does it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from edge_etl_job.landing.answers import answer_errors
from edge_etl_job.landing.refusals import FORBIDDEN, NO_REPORT
from edge_etl_job.results.durable import explained
from edge_etl_job.results.errors import ResultError
from edge_etl_job.results.layout import Dataset, Report

ADDRESS: Final = "127.0.0.1"
LATEST: Final = "latest"
_LIST: Final = "/v1/reports/{namespace}/{job}"
_REPORT: Final = "/v1/reports/{namespace}/{job}/{run}"
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
        content = await asyncio.to_thread(self._read, Report(**names))
        return web.Response(
            body=content, content_type="text/html", charset="utf-8", headers=_HEADERS
        )

    def _runs(self, dataset: Dataset) -> list[str]:
        """Return the runs that have a report, the latest first."""
        with explained(self._root):
            found = (self._root / dataset.folder / "reports").glob("[0-9]*.html")
            return sorted((path.stem for path in found), reverse=True)

    def _read(self, report: Report) -> bytes:
        with explained(self._root):
            try:
                return (self._root / report.path).read_bytes()
            except FileNotFoundError:
                message = f"the run {report.run} of {report.namespace}/{report.job} has no report"
                raise ResultError(NO_REPORT, message) from None


@web.middleware
async def _only_local(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse names under which a web page could reach the forwarded port (DNS rebinding)."""
    if urlsplit(f"//{request.host}").hostname not in _LOCAL:
        raise ResultError(FORBIDDEN, "reports are for localhost alone: forward the port")
    return await handler(request)
