"""What can go wrong with results, the same words in the edge program, the service and the logs."""

from typing import Final

from edge_etl_job.errors import EdgeError

INVALID_NAME: Final = "InvalidName"
"""A namespace, job, run, node, attempt or file name that is not one."""
RESULT_CONFLICT: Final = "ResultConflict"
"""Other content stands under the name already; what stands is never replaced."""
DIGEST_MISMATCH: Final = "DigestMismatch"
"""The bytes that arrived are not those that the sender announced."""
MANIFEST_INVALID: Final = "ManifestInvalid"
"""The manifest is not of this attempt, or names files that are not there with its bytes."""
RESULT_TOO_LARGE: Final = "ResultTooLarge"
"""A file or a manifest is larger than the store accepts."""
RESULTS_FULL: Final = "ResultsFull"
"""The volume of the results has no room left."""
RESULTS_UNAVAILABLE: Final = "ResultsUnavailable"
"""The results directory is missing, read-only, or fails."""
LANDING_UNAUTHORIZED: Final = "LandingUnauthorized"
"""The landing service does not accept the pod's token for what it asked."""
LANDING_UNREACHABLE: Final = "LandingUnreachable"
"""The landing service did not answer, or not as one, within all retries."""
RESULTS_UNAUTHORIZED: Final = "ResultsUnauthorized"
"""The S3 server does not accept the job's credentials for what was asked."""
NO_MANIFEST: Final = "NoManifest"
"""Not an error: the node has not committed in that run."""


class ResultError(EdgeError):
    """A result could not be stored or read."""
