"""How the service answers when it refuses, and what it logs of that."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from edge_etl_job.landing.refusals import BUSY, REVIEW_UNAVAILABLE, STATUS
from edge_etl_job.logs import log
from edge_etl_job.results.errors import NO_MANIFEST, RESULTS_UNAVAILABLE, ResultError

_RETRY_AFTER: Final = {BUSY: "2", REVIEW_UNAVAILABLE: "5", RESULTS_UNAVAILABLE: "10"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as JSON ``{"reason", "message"}`` and log it in one line."""
    try:
        return await handler(request)
    except ResultError as error:
        return _refuse(request, STATUS.get(error.reason, 500), error.reason, error.message)
    except web.HTTPException as error:  # no such path (404), no such method there (405)
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        reason = error.reason.replace(" ", "")
        return _refuse(request, error.status, reason, "see docs/contracts/landing.md", allow)
    except (ConnectionError, web.RequestPayloadError) as error:
        # Nobody is there to read the answer; what had arrived is removed already.
        return _refuse(request, 400, "ConnectionLost", str(error))
    except Exception:
        log.exception("internal error", extra=_of(request))
        message = "internal error, see the log of the landing service"
        return web.json_response({"reason": "InternalError", "message": message}, status=500)


def _refuse(
    request: web.Request,
    status: int,
    reason: str,
    message: str,
    headers: dict[str, str] | None = None,
) -> web.Response:
    if reason != NO_MANIFEST:
        details = {"status": status, "reason": reason, "detail": message}
        log.warning("refused", extra={**_of(request), **details})
    headers = dict(headers or {})
    if reason in _RETRY_AFTER:
        headers["Retry-After"] = _RETRY_AFTER[reason]
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response({"reason": reason, "message": message}, status=status, headers=headers)


def _of(request: web.Request) -> dict[str, object]:
    """Return what a log line says of a request; never its headers, which hold the token."""
    return {"method": request.method, "path": request.path[:500], "remote": request.remote}
