"""How many nodes may begin now: a job's own limit, and what is left of the operator's."""


def admitted(at_work: int, most: int | None, room: int | None) -> int | None:
    """Return how many more nodes of a run may begin; None when there is no limit.

    ``at_work`` of the run are, ``most`` may be at once, and ``room`` is left for all jobs together.
    """
    limits = [] if most is None else [most - at_work]
    if room is not None:
        limits.append(room)
    return max(0, min(limits)) if limits else None
