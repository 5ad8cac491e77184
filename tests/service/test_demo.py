"""What the demo does beside the main job, which `tests/end_to_end` runs."""

from service.access.keys import create_key, find_key, list_keys
from service.demo import key_where_needed
from service.settings import Settings
from service.store.database import Database


def test_where_no_key_was_ever_made_none_is_needed(settings: Settings, sqlite: Database) -> None:
    with key_where_needed(settings) as headers:
        assert headers == {}
    assert list_keys(sqlite) == []


def test_where_keys_are_needed_it_has_one_until_it_ends(settings: Settings, sqlite: Database) -> None:
    create_key(sqlite, "somebody", ["read"], "default")
    with key_where_needed(settings) as headers:
        text = headers["Authorization"].removeprefix("Bearer ")
        found = find_key(sqlite, text)
        assert found is not None
        assert (found.project, found.scopes) == ("default", ["read", "train", "predict"])
    assert find_key(sqlite, text) is None
