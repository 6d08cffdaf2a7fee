"""SHA-256 of what is in memory."""


def sha256(content: bytes) -> str:
    """Return the digest in hexadecimal digits.

    The compiled engine has it already; ``hashlib`` loads OpenSSL, which takes as long as to look
    through ten thousand files.
    """
    try:
        import edge_etl_engine
    except ModuleNotFoundError:
        import hashlib

        return hashlib.sha256(content).hexdigest()
    return edge_etl_engine.sha256(content)
