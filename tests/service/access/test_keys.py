"""Keys, on both databases."""

import pytest
from sqlalchemy import select

from service.access.keys import create_key, find_key, list_keys, remove_all_keys, revoke_key
from service.errors import NotFound, Unacceptable
from service.store.database import Database
from service.store.tables import api_keys


def test_a_key_is_found_by_its_whole_text_and_by_nothing_else(database: Database) -> None:
    made = create_key(database, "ci", ["train", "read"], "team-1")
    found = find_key(database, made.text)
    assert found == made.record
    assert (found.project, found.scopes, found.name) == ("team-1", ["read", "train"], "ci")
    key_id, secret = made.text.split(".")
    other = create_key(database, "other", ["read"], "team-1").text.split(".")[1]
    for text in (f"{key_id}.{other}", f"{key_id}.{secret[:-1]}", key_id, secret, f" {made.text}", made.text + "\n", ""):
        assert find_key(database, text) is None, text


def test_only_a_sum_of_the_secret_is_kept(database: Database) -> None:
    made = create_key(database, "ci", ["read"], "default")
    secret = made.text.split(".")[1]
    assert len(secret) == 43  # 32 bytes
    with database.read() as tx:
        row = tx.execute(select(api_keys)).one()
    assert secret not in str(row)
    assert secret not in repr(made.record)
    assert made.record.secret_sha256 not in repr(made.record)


def test_a_key_ends_when_its_time_is_over_or_it_is_revoked(database: Database) -> None:
    short, long = create_key(database, "a", ["read"], "p", 1e-9), create_key(database, "b", ["read"], "p", 1)
    assert find_key(database, short.text) is None
    assert find_key(database, long.text) is not None
    revoke_key(database, long.record.id)
    assert find_key(database, long.text) is None
    assert [key.live for key in list_keys(database)] == [False, False]
    for key_id in (long.record.id, "cgk_none"):
        with pytest.raises(NotFound, match="classiglot keys list"):
            revoke_key(database, key_id)
    assert remove_all_keys(database) == 2


@pytest.mark.parametrize(
    ("name", "scopes", "project", "days", "words"),
    [
        ("a", ["reed"], "p", None, "unknown scopes: reed; choose from read, train, predict, admin"),
        ("a", [], "p", None, "none given"),
        ("a", ["read"], "../p", None, "project's name"),
        ("a", ["read"], "P", None, "project's name"),
        ("a", ["read"], "p" * 41, None, "project's name"),
        (" ", ["read"], "p", None, "say whose it is"),
        ("\x1b[2Jci", ["read"], "p", None, "printable"),
        ("a\nb", ["read"], "p", None, "printable"),
        ("\udce9", ["read"], "p", None, "printable"),
        ("a", ["read"], "p", 0, "lifetime"),
        ("a", ["read"], "p", float("nan"), "lifetime"),
    ],
)
def test_what_makes_no_key_is_told(
    sqlite: Database, name: str, scopes: list[str], project: str, days: float | None, words: str
) -> None:
    with pytest.raises(Unacceptable, match=words):
        create_key(sqlite, name, scopes, project, days)
    assert list_keys(sqlite) == []
