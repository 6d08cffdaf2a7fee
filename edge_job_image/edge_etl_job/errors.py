"""The one error that a person or the operator is meant to read."""


class EdgeError(Exception):
    """The attempt cannot go on; ``reason`` is a constant word, ``message`` says what to do.

    Raised wherever the cause is known (a bad job document, a full disk, a store that refuses);
    the command turns it into the summary's reason and message and into exit code 1, without a
    traceback.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
