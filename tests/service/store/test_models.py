from concurrent.futures import ThreadPoolExecutor

from parts.rows import add_model
from service.store import models
from service.store.database import Database


def test_versions_count_up_by_name_even_when_many_finish_at_once(database: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(lambda number: add_model(database, name=f"name{number % 2}"), range(12)))
    for name in ("name0", "name1"):
        assert sorted(record.version for record in records if record.name == name) == [1, 2, 3, 4, 5, 6]


def test_the_number_of_a_deleted_version_is_not_given_out_again(database: Database) -> None:
    add_model(database)
    second = add_model(database)
    with database.write() as tx:
        assert models.remove(tx, "default", second.id)
        assert not models.remove(tx, "default", second.id)
        assert models.get(tx, "default", second.id) is None
    assert add_model(database).version == 3
    with database.read() as tx:
        assert [record.version for record in models.standings(tx, "default", {"fruit"})] == [1, 3]
