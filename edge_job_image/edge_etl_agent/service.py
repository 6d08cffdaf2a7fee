"""The REST service: readings come in, and an answer goes out when they are on the disk."""

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from edge_etl_job.logs import log

from edge_etl_agent.bodies import decode
from edge_etl_agent.configuration import Rest
from edge_etl_agent.metrics import Counters, exposition
from edge_etl_agent.refusals import (
    BAD_READING,
    BUSY,
    NOT_FOUND,
    TIMED_OUT,
    TOO_LARGE,
    UNAVAILABLE,
    Refusal,
)
from edge_etl_agent.store import Store
from edge_etl_agent.tokens import Tokens

_LONGEST_KEY: Final = 255
_RETRY_SECONDS: Final = "1"
_STREAM: Final = "readings"


@dataclass(frozen=True)
class Service:
    """Its handlers."""

    store: Store
    tokens: Tokens
    rest: Rest
    counters: Counters

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(
            middlewares=[self._answered], client_max_size=self.rest.max_body_bytes
        )
        app.add_routes(
            [
                web.post("/v1/readings", self._readings),
                # The paths to which Telegraf and InfluxDB's own clients send.
                web.post("/write", self._line_protocol),
                web.post("/api/v2/write", self._line_protocol),
                web.get("/v1/streams", self._streams),
                web.get("/healthz", _fine),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    @web.middleware
    async def _answered(self, request: web.Request, handler: object) -> web.StreamResponse:
        """Turn every refusal into its answer, and a mistake of ours into a plain 500."""
        try:
            response: web.StreamResponse = await handler(request)  # type: ignore[operator]
            return response
        except Refusal as refusal:
            self.counters.refused(refusal.reason)
            return _refused(refusal)
        except web.HTTPException as error:
            reason = NOT_FOUND if error.status in (404, 405) else BAD_READING
            document = {
                "reason": reason,
                "message": f"{request.method} {request.path}: {error.reason}",
            }
            headers = {name: value for name, value in error.headers.items() if name == "Allow"}
            return _answer(error.status, document, headers)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a mistake of this program", extra={"event": "traceback"})
            return _answer(500, {"reason": "InternalError", "message": "see the agent's log"})

    async def _readings(self, request: web.Request) -> web.Response:
        stream = request.query.get("stream", _STREAM)
        count, stored = await self._take(request, stream, request.headers.get("Content-Type", ""))
        return _answer(200, {"accepted": count if stored else 0, "duplicate": not stored})

    async def _line_protocol(self, request: web.Request) -> web.Response:
        stream = request.query.get("bucket") or request.query.get("db") or _STREAM
        await self._take(request, stream, "text/plain")
        return web.Response(status=204)

    async def _take(self, request: web.Request, stream: str, content_type: str) -> tuple[int, bool]:
        """Store a request's readings; return how many, and whether they are new."""
        token = self.tokens.authenticate(request.headers.get("Authorization"))
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise Refusal(BAD_READING, f"Idempotency-Key: 1 to {_LONGEST_KEY} characters")
        readings = decode(content_type, await self._body(request))
        if token is not None:
            token.permit(stream, readings)
            key = None if key is None else f"{token.name}/{key}"
        return len(readings), await self.store.append(stream, readings, key)

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self.rest.silence_seconds) as silence:
                body = bytearray()
                # The body comes unpacked, a piece at a time: a bomb is noticed before it is whole.
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self.rest.max_body_bytes:
                        limit = self.rest.max_body_bytes
                        raise Refusal(TOO_LARGE, f"the body is larger than {limit} bytes")
                    silence.reschedule(
                        asyncio.get_running_loop().time() + self.rest.silence_seconds
                    )
                return bytes(body)
        except TimeoutError:
            seconds = self.rest.silence_seconds
            raise Refusal(TIMED_OUT, f"nothing of the body came for {seconds} s") from None
        except web.RequestPayloadError as error:
            raise Refusal(BAD_READING, f"the body cannot be read: {error}") from None

    async def _streams(self, request: web.Request) -> web.Response:
        self.tokens.authenticate(request.headers.get("Authorization"))
        return _answer(200, {"streams": self.store.facts.document()})

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.store.budget.over:
            return _answer(503, {"reason": UNAVAILABLE, "message": "the disk budget is used up"})
        return await _fine(_request)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=exposition(self.store, self.counters))


async def _fine(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _refused(refusal: Refusal) -> web.Response:
    headers = {}
    if refusal.reason == BUSY:
        headers["Retry-After"] = _RETRY_SECONDS
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = _answer(refusal.status, refusal.document(), headers)
    if refusal.reason in (TOO_LARGE, TIMED_OUT):
        response.force_close()  # what is left of the body is not read
    return response


def _answer(status: int, document: object, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document) + b"\n",
        status=status,
        content_type="application/json",
        headers=headers,
    )
