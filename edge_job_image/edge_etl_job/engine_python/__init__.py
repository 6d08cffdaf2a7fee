"""The engine in plain Python: every rule of ``docs/cleaning.md`` as directly as it can be said."""

from edge_etl_job.engine_python.clean import PythonEngine

__all__ = ["PythonEngine"]
