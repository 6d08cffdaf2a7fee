"""The driver killed with -9 at each moment of its life that can be seen from outside."""

from pathlib import Path

from tests.support.cluster import AnyCluster
from tests.support.drivers import MOMENTS
from tests.support.surviving import die, shared


def test_the_table_is_whole_whenever_the_driver_dies(pis: AnyCluster, tmp_path: Path) -> None:
    job = shared(pis, "killed", tmp_path)
    job.apply(1)
    job.succeeds()
    lives = die(job, list(MOMENTS))
    assert list(lives) == list(MOMENTS)
    job.apply(3)
    assert job.succeeds()["nodesSummary"] == "3/3"
    assert job.whole() == 3
