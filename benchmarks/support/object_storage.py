"""Object storage of our own: moto's server as S3 on loopback and a free port, for as long as a block runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

BUCKET = "pictures"

# It ends when its standard input does, and so with whoever started it, however that ends.
_SERVER = """
import sys
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
endpoint = "http://%s:%s" % server.get_host_and_port()
keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "any", "region_name": "us-east-1"}
boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=sys.argv[1])
print(endpoint, flush=True)
sys.stdin.read()
server.stop()
"""


def missing() -> str:
    """Return what is not installed, and how to get it; empty: nothing is missing."""
    if find_spec("obstore") is None:
        return "obstore is not installed: pip install -e '.[storage]'"
    if find_spec("moto") is None or find_spec("flask") is None:
        return "moto's server is not installed: pip install -e '.[dev]'"
    return ""


@contextmanager
def temporary_storage() -> Iterator[dict[str, str]]:
    """Start a server with an empty bucket BUCKET.

    Yields:
        The variables that an environment needs to reach it.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, BUCKET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=plain,
        text=True,
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            variables = {
                "AWS_ENDPOINT_URL": server.stdout.readline().strip(),
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
                "AWS_REGION": "us-east-1",
            }
            yield variables
        finally:
            server.stdin.close()
            server.wait(60)
