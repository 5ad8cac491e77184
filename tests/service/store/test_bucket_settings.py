"""What a start says of a bucket that cannot be used, and what it needs where there is none."""

from pathlib import Path

import pytest

from parts.bucket import NAME, Door
from service.errors import SettingsInvalid
from service.settings import read_settings
from service.store.artifacts import ArtifactStore
from service.store.buckets import Bucket
from service.store.database import Database
from service.store.remote_artifacts import RemoteArtifacts, open_artifacts


def refusal(url: str, tmp_path: Path) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        open_artifacts(read_settings(artifacts_url=url, data_dir=tmp_path)).owned_by("ins_1")
    return caught.value.message


def test_a_start_with_a_wrong_bucket_or_wrong_keys_says_what_to_set(
    tmp_path: Path, bucket_url: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no such bucket" in refusal("s3://nobody-has-this", tmp_path)
    door.fail("403", "GET")
    assert "set AWS_ACCESS_KEY_ID" in refusal(bucket_url, tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "AWS_… do not go together (Generic S3 error: Missing AccessKeyId)" in refusal(bucket_url, tmp_path)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", door.address)  # the machine's cloud, which has no keys for us either
    door.fail("403", "PUT", "/latest/")
    assert "set AWS_ACCESS_KEY_ID" in refusal(bucket_url, tmp_path)


@pytest.mark.parametrize("address", ["no address", "localhost:9000", "http://a b", "https://host/path", "ftp://host"])
def test_an_address_that_is_none_says_what_to_set(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    assert refusal(f"s3://{NAME}", tmp_path).startswith("AWS_ENDPOINT_URL must be like https://host")


def test_an_owner_that_is_none_of_ours_says_what_to_set(tmp_path: Path, bucket_url: str) -> None:
    Bucket(bucket_url).create("INSTALLATION", b"x" * 2000)
    assert "choose another prefix" in refusal(bucket_url, tmp_path)


def test_a_start_without_a_server_says_what_to_set(tmp_path: Path, bucket_url: str, door: Door) -> None:
    door.close()
    impatient = RemoteArtifacts(tmp_path, Bucket(bucket_url, retry_seconds=1), 0)
    with pytest.raises(SettingsInvalid, match=f"ARTIFACTS_URL={bucket_url} cannot be used.*set AWS_ENDPOINT_URL"):
        impatient.owned_by("ins_1")


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for url in (f"{tmp_path}/file/artifacts", f"file://{tmp_path}/file"):
        with pytest.raises(SettingsInvalid, match=r"cannot be used .*; mount it, .* ARTIFACTS_URL"):
            open_artifacts(read_settings(data_dir=tmp_path, artifacts_url=url))
    with pytest.raises(SettingsInvalid, match=r"cannot be used .*; give it to this user, or set another DATABASE_URL"):
        Database(f"sqlite:///{tmp_path}/file/classiglot.sqlite3")


def test_a_folder_needs_no_client_for_buckets(tmp_path: Path) -> None:
    assert type(open_artifacts(read_settings(data_dir=tmp_path, artifacts_url=None))) is ArtifactStore
