"""The engine in plain Python: every rule of ``docs/cleaning.md`` as directly as it can be said."""
