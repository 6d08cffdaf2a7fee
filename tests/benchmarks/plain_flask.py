"""What one would write first: Flask, a file, an fsync for each request. For `make bench-agent`."""

import csv
import os
import sys
from pathlib import Path

from flask import Flask, request


def application(path: Path) -> Flask:
    """Return a handler that appends what comes, and answers when it is on the disk."""
    app = Flask("plain")
    file = path.open("a", newline="")
    writer = csv.writer(file)

    @app.post("/v1/readings")
    def readings() -> tuple[str, int]:
        reading = request.get_json()
        writer.writerow([reading["timestamp"], reading["sensor_id"], reading["t"]])
        file.flush()
        os.fsync(file.fileno())
        return "{}", 200

    return app


if __name__ == "__main__":
    import logging

    from waitress import serve

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    serve(
        application(Path(sys.argv[2])),
        host="127.0.0.1", port=int(sys.argv[1]), threads=8, connection_limit=1000,
    )  # fmt: skip
