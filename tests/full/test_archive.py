"""The sample over the whole archive of readings: `make test-full DATA=…`.

DATA names the directory of the unpacked archive, files `<day>_<type>_sensor_<id>.csv` anywhere
below it.
"""

import os
import time
from pathlib import Path

import pytest

from tests.support import independent
from tests.support.cluster import AnyCluster
from tests.support.jobs import NAMESPACE, SOURCES, finished, results, sample

NODES = ("pi-1", "pi-2", "pi-3")


def _files() -> list[Path]:
    files = sorted(Path(os.environ["DATA"]).rglob("*_sensor_*.csv"))
    assert files, f"no file *_sensor_*.csv below {os.environ['DATA']}"
    return files


def _owners(sensors: list[int]) -> dict[int, str]:
    """Give sensors with neighbouring numbers, which are on one board, to the same node."""
    owners: dict[int, str] = {}
    boards = 0
    for sensor in sensors:
        boards += sensor - 1 not in owners
        owners[sensor] = NODES[boards % len(NODES)]
    return owners


@pytest.fixture(scope="module")
def folders(release: AnyCluster) -> dict[str, Path]:
    """Spread the archive over the nodes' own directories."""
    sensor_of = {file: int(file.stem.rpartition("_")[2]) for file in _files()}
    owners = _owners(sorted(set(sensor_of.values())))
    places = {node: release.node(node).path(f"{SOURCES}/sensors") for node in NODES}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    hour_ago = time.time() - 3600
    for file, sensor in sensor_of.items():
        copy = places[owners[sensor]] / file.name
        copy.write_bytes(file.read_bytes())
        os.utime(copy, (hour_ago, hour_ago))
    return places


def test_the_table_of_the_whole_archive(release: AnyCluster, folders: dict[str, Path]) -> None:
    job = sample("archive", activeDeadlineSeconds=7200)
    job["spec"]["nodes"]["activeDeadlineSeconds"] = 3600
    release.apply(job, namespace=NAMESPACE)
    done = finished(release, "archive", timeout=7200)
    print(release.kubectl("get", "edgeetljobs", "-n", NAMESPACE))
    for node in done["nodes"]:
        print(node)
    table = independent.published(results(release, "archive"))
    independent.assert_equal(table, independent.expected(folders))
    assert len(table.rows) == done["rows"]
