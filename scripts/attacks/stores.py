"""A folder or a prefix of a bucket as a reader from outside sees it: keys, bytes and addresses."""

import os
import pathlib
from typing import Protocol


class Store(Protocol):
    """What lies below a root. Keys are relative to it, with slashes."""

    def keys(self, prefix: str = "") -> list[str]: ...

    def read(self, key: str) -> bytes | None: ...

    def write(self, key: str, data: bytes) -> None: ...

    def remove(self, key: str) -> None: ...

    def uri(self, key: str) -> str: ...


class Folder:
    """A root on the local file system."""

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(os.path.abspath(path))

    def keys(self, prefix: str = "") -> list[str]:
        found = []
        for folder, _, files in os.walk(self.path / prefix):
            below = pathlib.Path(folder).relative_to(self.path)
            found.extend(str(below / file) for file in files)
        return sorted(found)

    def read(self, key: str) -> bytes | None:
        try:
            return (self.path / key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes) -> None:
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self.path / key).unlink()

    def uri(self, key: str) -> str:
        return f"file://{self.path / key}"


class Bucket:
    """A root in a bucket. `client` is that of boto3."""

    def __init__(self, client, bucket: str, prefix: str):
        self.client, self.bucket, self.prefix = client, bucket, prefix.strip("/")

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._full(prefix))
        skipped = len(self._full(""))
        return sorted(entry["Key"][skipped:] for page in pages for entry in page.get("Contents", []))

    def read(self, key: str) -> bytes | None:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def write(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self._full(key), Body=data)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self._full(key))

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._full(key)}"


def s3_client(environment=os.environ):
    """A client of the server that scripts/with-services has started."""
    import boto3
    import botocore.config

    def variable(name: str) -> str:
        found = environment.get(f"RECSYS_TEST_S3_{name}")
        if not found:
            raise SystemExit(f"error: RECSYS_TEST_S3_{name} is not set; run it through scripts/with-services")
        return found

    return boto3.client(
        "s3",
        endpoint_url=variable("ENDPOINT"),
        region_name="us-east-1",
        aws_access_key_id=variable("ACCESS_KEY"),
        aws_secret_access_key=variable("SECRET_KEY"),
        config=botocore.config.Config(
            connect_timeout=5, read_timeout=60, max_pool_connections=30, s3={"addressing_style": "path"}
        ),
    )


def open_store(place: str) -> Store:
    """The root at a path, a `file://` URL or an `s3://` URL."""
    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        return Bucket(s3_client(), bucket, prefix)
    return Folder(place.removeprefix("file://"))
