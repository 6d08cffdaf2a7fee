"""Run a module without the libraries that Spark's image lacks and PySpark loads where they are.

``python -m tests.benchmarks.spark.as_in_image MODULE ARGUMENT…``
"""

import runpy
import sys

if __name__ == "__main__":
    for name in ("numpy", "pandas", "pyarrow"):
        sys.modules[name] = None  # type: ignore[assignment]  # what the import system asks for
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
