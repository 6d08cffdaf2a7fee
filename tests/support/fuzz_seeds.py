"""What the fuzzer of the engine begins with: the examples of docs/cleaning.md, and broken lines.

Before the content come the three bytes by which ``edge_job_image/engine/fuzz/check.rs`` chooses
the rules and where the file is cut in two.
"""

import re
from collections.abc import Callable

from tests.support.cleaning_page import examples
from tests.support.edge import BROKEN, HEADER, csv, reading

FOLDER = "edge_job_image/engine/fuzz/seeds"


def seeds() -> dict[str, Callable[[], bytes]]:
    """Return what makes each file's content, by its path in the repository."""
    contents = {
        re.sub(r"\W+", "-", example.title.lower()): example.content for example in examples()
    }
    contents["broken-lines"] = b"\n".join([HEADER.encode(), *BROKEN])
    contents["broken-among-good"] = b"\n".join(
        each for line in [HEADER.encode(), *BROKEN] for each in (line, reading(len(line)).encode())
    )
    day = [reading(second, "ab"[second % 2]) for second in range(0, 86_400, 7_201)]
    contents["two-days"] = csv(*day, *(line.replace("-04T", "-05T") for line in day)).encode()
    return {
        f"{FOLDER}/{name}": lambda content=content: b"\0\0\x80" + content  # type: ignore[misc]
        for name, content in contents.items()
    }
