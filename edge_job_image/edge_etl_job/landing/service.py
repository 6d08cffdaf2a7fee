"""The landing service's requests; docs/contracts/landing.md is their description."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Final, ParamSpec, TypeVar

from aiohttp import web
from msgspec.structs import asdict

from edge_etl_job.landing import refusals
from edge_etl_job.landing.answers import Handler, answer_errors
from edge_etl_job.landing.body import Announced, chunks
from edge_etl_job.landing.identity import (
    Identity,
    TokenReviewer,
    audience,
    authorise,
    bearer,
    claimed_run,
)
from edge_etl_job.landing.limits import Gate, Limits, Space
from edge_etl_job.landing.metrics import Counters, exposition
from edge_etl_job.logs import log
from edge_etl_job.results import directory, errors
from edge_etl_job.results.durable import Incoming, explained, make_folder, remove_stale
from edge_etl_job.results.errors import ResultError
from edge_etl_job.results.garbage import remove_dead_attempts
from edge_etl_job.results.layout import Attempt, Dataset, NodeRun, checked

_P = ParamSpec("_P")
_T = TypeVar("_T")

_RESULTS: Final = "/v1/results/"
_DATASET: Final = "/v1/results/{namespace}/{job}/dataset.json"
_MANIFEST: Final = "/v1/results/{namespace}/{job}/{run}/{node}/manifest.json"
_RUNS: Final = "/v1/results/{namespace}/{job}/nodes/{node}/runs.json"
_FILE: Final = "/v1/results/{namespace}/{job}/{run}/{node}/{attempt}/{file}"


class Landing:
    """The service over one volume. File operations run in threads, never in the event loop."""

    def __init__(self, root: Path, reviewer: TokenReviewer, account: str, limits: Limits) -> None:
        self._root = root
        self._reviewer = reviewer
        self._account = account
        self._limits = limits
        self._gate = Gate(limits)
        self._space = Space()
        self._counters = Counters()
        # Checking a manifest holds it in memory and reads files: one after another.
        self._commits = asyncio.Lock()

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._counted, answer_errors])
        app.router.add_get("/healthz", self._healthy)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get(_DATASET, self._get_dataset)
        app.router.add_get(_RUNS, self._get_runs)
        app.router.add_get(_MANIFEST, self._get_manifest)
        app.router.add_put(_MANIFEST, self._put_manifest)
        app.router.add_put(_FILE, self._put_file)
        app.cleanup_ctx.append(self._sweeping)
        return app

    async def drain(self, seconds: float) -> None:
        """Refuse new uploads, and wait at most so long for those that are under way."""
        await self._gate.close(seconds)

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        # Not whether there is room: a full volume is told to each sender (507).
        await self._free()
        return web.json_response({"status": "ok"})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=await self._in_thread(exposition, self._root, self._counters))

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if request.path.startswith(_RESULTS):
            # A sender chooses the method: others than ours do not get figures of their own.
            method = request.method if request.method in ("GET", "PUT") else "other"
            self._counters.answers[method, answer.status] += 1
        return answer

    async def _get_dataset(self, request: web.Request) -> web.Response:
        dataset = Dataset(**request.match_info)
        await self._identify(request, dataset)
        identifier = await self._in_thread(directory.dataset_id, self._root, dataset)
        return web.json_response({"id": identifier})

    async def _get_runs(self, request: web.Request) -> web.Response:
        names = dict(request.match_info)
        dataset = Dataset(names["namespace"], names["job"])
        token = bearer(request.headers.get("Authorization"))
        place = NodeRun(**names, run=claimed_run(token, dataset))
        await self._identify(request, place)
        return web.json_response({"runs": await self._in_thread(directory.runs, self._root, place)})

    async def _get_manifest(self, request: web.Request) -> web.Response:
        # Of any run: a node looks up what became of a run in which its pod was killed.
        place = NodeRun(**request.match_info)
        await self._identify(request, place)
        manifest = await self._in_thread(directory.read_manifest, self._root, place)
        if manifest is None:
            message = f"{place.node} has not committed in the run {place.run}"
            raise ResultError(errors.NO_MANIFEST, message)
        return web.Response(body=manifest, content_type="application/json")

    async def _put_file(self, request: web.Request) -> web.Response:
        names = dict(request.match_info)
        name = checked("file", names.pop("file"))
        place = Attempt(**names)
        await self._identify(request, place, run=place.run)
        limits = self._limits
        into = place.attempt_folder
        async with self._receive(request, into, limits.file, limits.reserve) as (file, sha):
            created = await self._in_thread(directory.publish_file, file, name, sha)
        return web.json_response({"name": name, "sha256": sha}, status=201 if created else 200)

    async def _put_manifest(self, request: web.Request) -> web.Response:
        place = NodeRun(**request.match_info)
        identity = await self._identify(request, place, run=place.run)
        if identity.pod_uid is None:
            raise ResultError(refusals.FORBIDDEN, "the token is not bound to a pod")
        attempt = Attempt(**asdict(place), attempt=identity.pod_uid)
        # The reserve is kept for manifests: what was stored before the volume was full counts.
        async with self._receive(request, place.node_folder, self._limits.manifest, 0) as body:
            file, sha = body
            async with self._commits:
                standing, created = await self._in_thread(
                    directory.publish_manifest, self._root, attempt, file
                )
        ours = created or hashlib.sha256(standing).hexdigest() == sha
        log.info("committed" if created else "had been committed before", extra=asdict(attempt))
        status = 201 if created else 200 if ours else 409
        return web.Response(body=standing, status=status, content_type="application/json")

    async def _identify(
        self, request: web.Request, place: Dataset, run: str | None = None
    ) -> Identity:
        """Return who sends the request; raise unless it may use the place, in that run."""
        token = bearer(request.headers.get("Authorization"))
        claimed = claimed_run(token, place)
        if run is not None and claimed != run:
            raise ResultError(refusals.FORBIDDEN, f"the token is for the run {claimed}, not {run}")
        for_run = audience(place.namespace, place.job, claimed)
        identity = await self._reviewer.review(token, for_run)
        if identity is None:
            message = "the API server does not confirm the token: expired, or its pod is gone"
            raise ResultError(refusals.UNAUTHENTICATED, message)
        authorise(identity, place, self._account)
        return identity

    @asynccontextmanager
    async def _receive(
        self, request: web.Request, folder: PurePosixPath, limit: int, reserve: int
    ) -> AsyncIterator[tuple[Incoming, str]]:
        """Give the request's body as a file in a folder, with its SHA-256, which was checked."""
        announced = Announced.of(request, limit)
        async with self._gate.slot():
            with self._space.room(announced.size, await self._free(), reserve) as promise:
                into = await self._in_thread(make_folder, self._root, folder)
                with await self._in_thread(Incoming, into) as file:
                    async for chunk in chunks(request, self._limits.silence):
                        await self._in_thread(file.write, chunk)
                        promise.used(len(chunk))
                    announced.check(file.size, file.sha256)
                    self._counters.received += file.size
                    yield file, announced.sha256

    async def _free(self) -> int:
        return (await self._in_thread(shutil.disk_usage, self._root)).free

    async def _in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        def explained_call() -> _T:
            with explained(self._root):
                return function(*args, **kwargs)

        return await asyncio.to_thread(explained_call)

    async def _sweeping(self, app: web.Application) -> AsyncIterator[None]:
        """Remove what broken uploads left, at the start and from time to time."""
        task = asyncio.create_task(self._sweep())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            limits = self._limits
            try:
                files = await self._in_thread(remove_stale, self._root, limits.stale)
                attempts = await self._in_thread(
                    remove_dead_attempts, self._root, limits.stale, limits.dead
                )
            except ResultError as error:
                log.error(error.message, extra={"reason": error.reason})
            else:
                if files or attempts:
                    left = {"files": files, "attempts": attempts}
                    log.info("removed what dead uploads left", extra=left)
            await asyncio.sleep(self._limits.stale)
