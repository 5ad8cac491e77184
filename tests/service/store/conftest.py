"""Machines that share a bucket, behind a door that fails as networks do."""

from pathlib import Path

import pytest

from parts.stored_folders import Machine
from service.store.buckets import Bucket
from service.store.remote_artifacts import RemoteArtifacts


@pytest.fixture
def bucket(bucket_url: str) -> Bucket:
    """Less patient than the program's own."""
    return Bucket(bucket_url, request_seconds=1, retry_seconds=1.5)


@pytest.fixture
def machine(tmp_path: Path, bucket: Bucket) -> Machine:
    """Each has a disk of its own."""
    return lambda name: RemoteArtifacts(tmp_path / name, bucket, cache_bytes=1_000_000)


@pytest.fixture
def here(machine: Machine) -> RemoteArtifacts:
    return machine("here")


@pytest.fixture
def there(machine: Machine) -> RemoteArtifacts:
    return machine("there")
