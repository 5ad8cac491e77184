"""Who comes in while the database is away, and how soon a revoked key is out."""

import shutil
import time
from pathlib import Path

import pytest

from service.access import gate
from service.access.gate import Gate, must_have_key
from service.access.keys import create_key, revoke_key
from service.errors import SettingsInvalid, Unauthenticated, Unavailable
from service.settings import Settings, read_settings
from service.store.database import Database


def test_a_revoked_key_is_out_within_a_second(settings: Settings, sqlite: Database) -> None:
    key, door = create_key(sqlite, "a", ["read"], "p"), Gate(settings, sqlite)
    door.admit(key.text, is_local=True)
    revoke_key(sqlite, key.record.id)
    time.sleep(0.9)
    with pytest.raises(Unauthenticated):
        door.admit(key.text, is_local=True)


def test_whoever_came_in_goes_on_while_the_database_is_away(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FRESH", 0)
    known, unknown = (create_key(sqlite, name, ["read"], "p").text for name in "ab")
    short = create_key(sqlite, "c", ["read"], "p", expires_in_days=1 / 86_400)
    door = Gate(settings, sqlite)
    for text in (known, short.text):
        assert door.admit(text, is_local=True).project == "p"
    sqlite.close()
    shutil.rmtree(settings.data_dir)
    assert door.admit(known, is_local=True).project == "p"
    for text in (unknown, known[:-1] + "_"):
        with pytest.raises(Unavailable):
            door.admit(text, is_local=True)
    with pytest.raises(Unauthenticated):
        door.admit(None, is_local=True)
    time.sleep(1.1)
    with pytest.raises(Unavailable):  # its time is over, database or not
        door.admit(short.text, is_local=True)
    monkeypatch.setattr(gate, "STALE", 0)
    with pytest.raises(Unavailable):
        door.admit(known, is_local=True)


def test_the_gate_remembers_neither_texts_nor_without_end(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MOST_REMEMBERED", 2)
    door = Gate(settings, sqlite)
    texts = [create_key(sqlite, "a", ["read"], "p").text for _ in range(4)]
    for text in texts:
        door.admit(text, is_local=True)
    remembered = str(vars(door))
    assert remembered.count("KeyRecord") == 2
    assert not [text for text in texts if text.split(".")[1] in remembered]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_key(tmp_path: Path, host: str) -> None:
    must_have_key(read_settings(data_dir=tmp_path, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "myhost", ""])
def test_any_other_address_needs_one_that_is_good(tmp_path: Path, host: str) -> None:
    settings = read_settings(data_dir=tmp_path, host=host)
    with pytest.raises(SettingsInvalid, match="classiglot keys create --name <whose> --scopes admin --data-dir"):
        must_have_key(settings)
    database = Database(settings.sql_url)
    create_key(database, "expired", ["read"], "p", 1e-9)
    with pytest.raises(SettingsInvalid):
        must_have_key(settings)
    create_key(database, "good", ["read"], "p")
    must_have_key(settings)
    database.close()


def test_the_gate_is_open_only_while_it_is_known_afresh_that_nobody_has_a_key(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Gate(settings, sqlite)
    assert not door.is_open  # it has not looked yet
    door.admit(None, is_local=True)
    assert door.is_open
    monkeypatch.setattr(gate, "FRESH", 0)
    assert not door.is_open
    monkeypatch.undo()
    create_key(sqlite, "a", ["read"], "p")
    time.sleep(gate.FRESH)
    with pytest.raises(Unauthenticated):
        door.admit(None, is_local=True)
    assert not door.is_open
    reachable = Gate(settings.model_copy(update={"host": "0.0.0.0"}), sqlite)
    with pytest.raises(Unauthenticated):
        reachable.admit(None, is_local=True)
    assert not reachable.is_open
