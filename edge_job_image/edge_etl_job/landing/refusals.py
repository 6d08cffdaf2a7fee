"""Every way in which the service refuses a request: the reason and its HTTP status."""

from typing import Final

from edge_etl_job.results import errors

UNAUTHENTICATED: Final = "Unauthenticated"
"""No token, or one that the API server does not confirm for this job and run."""
FORBIDDEN: Final = "Forbidden"
"""A good token, of another service account, node, run or pod."""
NO_REPORT: Final = "NoReport"
"""The run, or any run of the job, has no report."""
NOTHING_REJECTED: Final = "NothingRejected"
"""The attempt has no file of rejected rows."""
LENGTH_REQUIRED: Final = "LengthRequired"
"""A body without Content-Length."""
BAD_REQUEST: Final = "BadRequest"
"""A header is missing or not as it should be."""
TIMED_OUT: Final = "TimedOut"
"""The sender paused for too long."""
BUSY: Final = "Busy"
"""All slots for uploads stayed taken."""
REVIEW_UNAVAILABLE: Final = "ReviewUnavailable"
"""The API server did not review the token; the fault is not the sender's."""

STATUS: Final = {
    errors.INVALID_NAME: 400,
    BAD_REQUEST: 400,
    UNAUTHENTICATED: 401,
    FORBIDDEN: 403,
    errors.NO_MANIFEST: 404,
    NO_REPORT: 404,
    NOTHING_REJECTED: 404,
    TIMED_OUT: 408,
    errors.RESULT_CONFLICT: 409,
    LENGTH_REQUIRED: 411,
    errors.RESULT_TOO_LARGE: 413,
    errors.DIGEST_MISMATCH: 422,
    errors.MANIFEST_INVALID: 422,
    BUSY: 503,
    REVIEW_UNAVAILABLE: 503,
    errors.RESULTS_UNAVAILABLE: 503,
    errors.RESULTS_FULL: 507,
}
