"""The patterns of names, as documents and paths have them; with ``fullmatch`` they mean the same.

Who needs one takes it from here: to compile a pattern costs a start of this program more than to
look for a hundred files.
"""

from typing import Final

NAME: Final = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
"""Of namespaces, jobs, nodes and sources, as Kubernetes has them."""
RUN: Final = r"^[0-9]{8}-[0-9]{6}$"
ATTEMPT: Final = r"^[A-Za-z0-9-]{1,64}$"
FILE: Final = r"^[a-z0-9][a-z0-9._=-]{0,127}$"
"""Of a Parquet file that is delivered."""
