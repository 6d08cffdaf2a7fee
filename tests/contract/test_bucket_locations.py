"""Where the operator says that a bucket is, and what the programs of the pods make of it."""

from pathlib import Path

import pytest
from edge_etl_job.results.s3 import Bucket
from edge_etl_operator.api import S3, SecretRef
from edge_etl_spark.objects import Objects

from tests.support.s3_server import write_credentials

KEY = SecretRef(name="key")
OWN = S3(bucket="readings", endpoint="http://nas:9000", prefix="a/b", region="home", secret_ref=KEY)
AMAZONS = S3(bucket="readings", region="eu-west-1", secret_ref=KEY)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (OWN, Bucket("http://nas:9000", "home", "readings", "a/b")),
        (AMAZONS, Bucket("https://s3.eu-west-1.amazonaws.com", "eu-west-1", "readings", "")),
    ],
)
def test_both_programs_find_the_bucket_that_the_resource_names(
    told: S3, meant: Bucket, tmp_path: Path
) -> None:
    assert Bucket.parse(told.location) == meant
    write_credentials(tmp_path / "credentials")
    store = Objects(told.location, "default/air", tmp_path / "credentials")._bucket
    config = store.config
    assert (config["bucket"], config["region"]) == (meant.name, meant.region)
    assert config["endpoint"] == meant.endpoint
    assert store.prefix == meant.key("default/air")
