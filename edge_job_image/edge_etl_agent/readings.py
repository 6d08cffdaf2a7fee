"""Readings as the engine gives them."""

Values = list[tuple[str, str]]
"""The columns and cells of a reading."""

Reading = tuple[int | None, Values]
"""A time in microseconds since 1970, None without one; and the values."""
