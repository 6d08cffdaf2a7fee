"""Signatures of S3 requests are those of AWS's own examples; secrets are never shown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from edge_etl_job.results import ResultError
from edge_etl_job.results.s3 import Bucket
from edge_etl_job.results.signing import Credentials, Request, read_credentials, signed

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            Request("GET", "/test.txt", {"host": HOST, "range": "bytes=0-9"}, NOTHING),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Request(
                "PUT",
                "/test%24file.text",
                {
                    "host": HOST,
                    "date": "Fri, 24 May 2013 00:00:00 GMT",
                    "x-amz-storage-class": "REDUCED_REDUNDANCY",
                },
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_signatures_are_those_of_the_published_examples(request_: Request, signature: str) -> None:
    headers = signed(request_, KEY, "us-east-1", AT)
    assert headers["authorization"].endswith(f"Signature={signature}")
    assert "20130524/us-east-1/s3/aws4_request" in headers["authorization"]


def test_temporary_credentials_are_sent_with_their_token() -> None:
    request = Request("GET", "/", {"host": HOST}, NOTHING)
    headers = signed(request, Credentials("A", "B", "C"), "us-east-1", AT)
    assert headers["x-amz-security-token"] == "C"
    assert "x-amz-security-token" in headers["authorization"]


def test_credentials_are_read_as_aws_has_them_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = b%c=\naws_session_token = d\n"
        "[other]\naws_access_key_id = E\n"
    )
    found = read_credentials(path)
    assert found == Credentials("A", "b%c=", "d")
    assert "b%c" not in repr(found)


@pytest.mark.parametrize("content", ["", "secret", "[default]\naws_access_key_id = A", "[x]\n"])
def test_credentials_that_are_none_are_explained_without_their_content(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "credentials"
    path.write_text(content)
    with pytest.raises(ResultError, match=r"a section \[default\] with") as refused:
        read_credentials(path)
    assert refused.value.reason == "ResultsUnauthorized"
    assert "secret\n" not in refused.value.message
    with pytest.raises(ResultError, match="No such file"):
        read_credentials(tmp_path / "absent")


def test_where_a_bucket_is_comes_from_its_location() -> None:
    own = Bucket.parse("s3://readings/a/b?endpoint=http://nas.local:9000/&region=home")
    assert own == Bucket("http://nas.local:9000", "home", "readings", "a/b")
    assert own.path("x/day=1") == "/readings/a/b/x/day%3D1"
    amazons = Bucket.parse("s3://readings?region=eu-west-1")
    assert amazons == Bucket("https://s3.eu-west-1.amazonaws.com", "eu-west-1", "readings", "")
    assert amazons.path("x") == "/readings/x"
    for wrong in ("s3://", "s3:///a", "s3://bucket?endpoint=nas.local"):
        with pytest.raises(ResultError, match="not a bucket"):
            Bucket.parse(wrong)
