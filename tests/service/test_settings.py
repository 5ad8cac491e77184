from pathlib import Path

import pytest

from service.errors import SettingsInvalid
from service.settings import read_settings


def test_with_nothing_set_everything_is_in_the_data_dir(tmp_path: Path) -> None:
    settings = read_settings(data_dir=tmp_path, database_url=None, broker_url=None)
    assert settings.sql_url == f"sqlite:///{tmp_path}/classiglot.sqlite3"
    assert settings.queue_url == f"redis+socket://{tmp_path}/broker/broker.sock"
    assert settings.artifacts_dir == tmp_path / "artifacts"


def test_urls_as_hosting_panels_write_them_are_understood() -> None:
    for url in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"):
        assert read_settings(database_url=url).sql_url == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize("url", ["/srv/our models", "file:///srv/our%20models"])
def test_artifacts_may_be_a_folder_or_its_url(url: str) -> None:
    assert read_settings(artifacts_url=url).artifacts_dir == Path("/srv/our models")


@pytest.mark.parametrize(("given", "kept"), [("", ""), ("/", ""), ("/cg", "/cg"), ("/a/b-1/", "/a/b-1")])
def test_a_root_path_is_kept_without_a_slash_at_its_end(given: str, kept: str) -> None:
    assert read_settings(root_path=given).root_path == kept


def test_origins_are_separated_by_commas() -> None:
    origins = ("https://app.example", "http://localhost:3000", "http://[::1]:8080", "*")
    assert read_settings(cors_origins=", ".join(origins)).cors_origins == origins


@pytest.mark.parametrize("url", ["s3://models", "s3://my.models-1/a/b_c/", "s3://models/v1.0"])
def test_artifacts_may_be_in_a_bucket_with_copies_in_the_data_dir(url: str, tmp_path: Path) -> None:
    settings = read_settings(artifacts_url=url, data_dir=tmp_path)
    assert (settings.bucket_url, settings.artifacts_dir) == (url, tmp_path / "copies")
    assert read_settings(artifacts_url="/srv/models").bucket_url is None


@pytest.mark.parametrize(
    "url", ["s3://b", "s3://", "s3://Models", "s3://models/../x", "s3://key:secret@models", "gs://b"]
)
def test_what_is_no_bucket_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"ARTIFACTS_URL: must be a folder, .* AWS_SECRET_ACCESS_KEY") as caught:
        read_settings(artifacts_url=url)
    assert "key:secret" not in caught.value.message


def test_extra_base_models_are_separated_by_commas() -> None:
    assert read_settings(extra_base_models="a, b/c,,").extra_base_models == ("a", "b/c")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_dir", "/srv/c#"),
        ("data_dir", "/srv/what?"),
        ("data_dir", "/srv/100%25"),
        ("artifacts_url", "file://srv/models"),
        ("database_url", "mysql://h/d"),
        ("database_url", "postgresql://u:p@h:abc/d"),
        ("broker_url", "amqp://h"),
        ("port", "70000"),
        ("cors_origins", "https://app.example/"),
        ("cors_origins", "https://a.example,app.example"),
        ("cors_origins", "https://app.example:443"),
        ("cors_origins", "http://[::1]:80"),
        ("root_path", "classiglot"),
        ("root_path", "//evil.example"),
        ("root_path", "/a b"),
        ("root_path", "/a/../b"),
        ("root_path", "/."),
    ],
)
def test_what_cannot_work_is_named_in_one_sentence(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"{name.upper()}: ") as caught:
        read_settings(**{name: value})
    assert "\n" not in caught.value.message


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().port = 1
