"""Keys as an operator meets them: the real command, a real service on every address, on both databases."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from parts.deployment import Part, wait_for_ready
from parts.ports import free_port
from parts.postgres import drop_database, fresh_database


class Installation:
    """A data dir and settings; nothing runs."""

    def __init__(self, root: Path, database_url: str | None) -> None:
        self.port, self.root, self.database_url, self.log = free_port(), root, database_url, root / "log"
        own = {"DATA_DIR": str(root / "data"), "PORT": str(self.port), "LOG_LEVEL": "debug"}
        self.environment = os.environ | own | ({"DATABASE_URL": database_url} if database_url else {})

    def command(self, *words: str, host: str = "127.0.0.1") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "service.cli", *words]
        environment = self.environment | {"HOST": host}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def keys(self, *words: str) -> str:
        result = self.command("keys", *words)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    @contextmanager
    def serving(self, host: str) -> Iterator[httpx.Client]:
        part = Part([sys.executable, "-m", "service.cli", "api"], self.environment | {"HOST": host}, self.log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{self.port}") as client:
                wait_for_ready(client, part)
                yield client
        finally:
            part.stop(40)

    def everything_written(self) -> bytes:
        """The logs, every file of the data dir, and every row of the database."""
        files = [self.log, *(path for path in (self.root / "data").rglob("*") if path.is_file())]
        return b"".join(path.read_bytes() for path in files) + self._dump().encode()

    def _dump(self) -> str:
        if self.database_url is None:
            return ""
        with psycopg.connect(self.database_url.replace("+psycopg", "", 1)) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            return str([connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in tables])


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    if request.param == "sqlite":
        yield Installation(tmp_path, None)
        return
    url = fresh_database(request.getfixturevalue("postgres"))
    yield Installation(tmp_path, url)
    drop_database(url)


@pytest.mark.parametrize("command", ["api", "up"])
def test_nothing_listens_where_others_could_reach_it_before_there_is_a_key(tmp_path: Path, command: str) -> None:
    result = Installation(tmp_path, None).command(command, host="0.0.0.0")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("classiglot: HOST is 0.0.0.0")
    assert f"`classiglot keys create --name <whose> --scopes admin --data-dir {tmp_path / 'data'}`" in last


def test_a_key_from_its_making_to_its_end(house: Installation) -> None:
    made = house.keys(
        "create", "--name", "ci", "--scopes", "train,read", "--project", "team", "--expires-in-days", "30"
    )
    key_id, secret = made.split(".")
    headers = {"Authorization": f"Bearer {made}"}
    with house.serving("0.0.0.0") as client:
        assert client.get("/jobs").status_code == 401
        assert client.get("/jobs", headers=headers).status_code == 200
        assert client.get("/usage", headers=headers).json()["project"] == "team"
        assert client.get("/metrics", headers=headers).status_code == 403
        refused = client.post("/datasets", json={"zebra": secret}, headers=headers | {"Idempotency-Key": "k"})
        assert refused.status_code == 422
        listed = house.keys("list").splitlines()
        assert listed[0].split() == ["ID", "PROJECT", "SCOPES", "STATE", "NAME"]
        assert listed[1].split()[:4] == [key_id, "team", "read,train", "live"]
        house.keys("revoke", key_id)
        revoked = time.monotonic()
        while client.get("/jobs", headers=headers).status_code == 200:
            assert time.monotonic() - revoked < 1
        assert client.get("/jobs", headers=headers).json()["error"]["code"] == "key_invalid"
    assert "revoked" in house.keys("list").splitlines()[1]
    written = house.everything_written()
    assert key_id.encode() in written  # so it would have been found
    assert secret.encode() not in written


def test_wrong_words_say_what_would_be_right(tmp_path: Path) -> None:
    house = Installation(tmp_path, None)
    for words, told in (
        (["create", "--name", "x", "--scopes", "write"], "choose from read, train, predict, admin"),
        (["create", "--name", "x", "--scopes", "read", "--project", "My Team"], "a project's name"),
        (["revoke", "cgk_none"], "classiglot keys list"),
    ):
        result = house.command("keys", *words)
        assert (result.returncode, result.stdout) == (1, "")
        assert told in result.stderr
    assert house.keys("create", "--name", "x", "--scopes", "read")
    assert house.keys("reset").startswith("keys removed: 1;")
    assert house.keys("list").splitlines()[1:] == []
