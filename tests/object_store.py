"""An S3-compatible server of this process, for the tests that keep runs in an object store."""

import itertools
import logging

import pytest

NAMES = (f"salmu-{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def s3_server():
    """A server on a free port, which this process and its children use: its URL."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield url
    server.stop()


@pytest.fixture
def bucket(s3_server) -> str:
    """The URL of a new bucket."""
    import fsspec

    name = next(NAMES)
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"
