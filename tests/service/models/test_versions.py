from pathlib import Path

import pytest

from parts.rows import add_model
from service.errors import NotFound
from service.models.versions import ModelCatalog
from service.store import models as model_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database, Transaction
from service.store.records import ModelRecord, Standing


@pytest.fixture
def catalog(database: Database, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(database, ArtifactStore(tmp_path / "artifacts"))


def best(catalog: ModelCatalog) -> ModelRecord:
    return catalog.resolve("default", "fruit")


def test_the_lowest_validation_loss_answers(database: Database, catalog: ModelCatalog) -> None:
    add_model(database, val_loss=0.5)
    second = add_model(database, val_loss=0.3)
    add_model(database, val_loss=0.4)
    assert best(catalog).id == second.id


def test_only_versions_with_the_newest_ones_validation_split_are_compared(
    database: Database, catalog: ModelCatalog
) -> None:
    add_model(database, val_loss=0.1, val_sha256="a" * 64)
    newest = add_model(database, val_loss=0.9, val_sha256="b" * 64)
    assert best(catalog).id == newest.id


def test_of_equals_the_newest_answers(database: Database, catalog: ModelCatalog) -> None:
    add_model(database, val_loss=0.5)
    newer = add_model(database, val_loss=0.5)
    assert best(catalog).id == newer.id


def test_a_promoted_version_answers_until_another_is_promoted(database: Database, catalog: ModelCatalog) -> None:
    first, second = add_model(database, val_loss=0.9), add_model(database, val_loss=0.8)
    third = add_model(database, val_loss=0.1)
    catalog.promote("default", first.id)
    assert best(catalog).id == first.id
    catalog.promote("default", second.id)
    assert best(catalog).id == second.id
    catalog.delete("default", second.id)
    assert best(catalog).id == third.id  # the first is pinned no more


def test_the_lowest_validation_loss_answers_again_once_the_pin_is_taken(
    database: Database, catalog: ModelCatalog
) -> None:
    first, second = add_model(database, val_loss=0.9), add_model(database, val_loss=0.1)
    other = add_model(database, name="tools")
    for pinned in (first, other):
        catalog.promote("default", pinned.id)
    catalog.demote("default", second.id)
    assert best(catalog).id == first.id
    catalog.demote("default", first.id)
    assert best(catalog).id == second.id
    assert catalog.get("default", other.id)[0].pinned_at is not None  # names have pins of their own


def test_a_version_is_found_by_its_name_and_number(database: Database, catalog: ModelCatalog) -> None:
    first, second = add_model(database, val_loss=0.1, name="Obst"), add_model(database, name="Obst")
    catalog.promote("default", first.id)
    assert catalog.resolve("default", "Obst:2").id == second.id
    assert catalog.resolve("default", "Obst:1").id == first.id
    catalog.delete("default", second.id)
    for wanted in ("Obst:2", "Obst:3", "Obst:0", "Obst:01", "Obst:x", "Obst:", ":1", "Obst:1:1", f"Obst:{10**30}"):
        with pytest.raises(NotFound, match="no model has this name and version"):
            catalog.resolve("default", wanted)
    with pytest.raises(NotFound):
        catalog.resolve("other", "Obst:1")


def test_lists_mark_one_best_of_each_name(database: Database, catalog: ModelCatalog) -> None:
    for name in ("fruit", "tools"):
        for loss in (0.5, 0.2, 0.4):
            add_model(database, name=name, val_loss=loss)
    page = catalog.page("default", 10, None)
    assert [(record.name, record.version) for record, is_best in page.data if is_best] == [("tools", 2), ("fruit", 2)]
    record, is_best = catalog.get("default", page.data[0][0].id)
    assert (record.version, is_best) == (3, False)


def test_deleted_and_unknown_versions_are_not_found(database: Database, catalog: ModelCatalog) -> None:
    model = add_model(database)
    catalog.delete("default", model.id)
    for ask in (catalog.get, catalog.promote, catalog.demote, catalog.delete, catalog.resolve):
        with pytest.raises(NotFound):
            ask("default", model.id)
    with pytest.raises(NotFound):
        best(catalog)


def test_the_last_version_of_a_name_may_be_deleted_while_it_is_looked_at(
    postgresql: Database, artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL each query of a transaction sees what others have committed until then."""
    catalog, standings = ModelCatalog(postgresql, artifacts), model_rows.standings
    model = add_model(postgresql)

    def delete_and_look(tx: Transaction, project: str, names: set[str]) -> list[Standing]:
        catalog.delete("default", model.id)
        return standings(tx, project, names)

    monkeypatch.setattr(model_rows, "standings", delete_and_look)
    with pytest.raises(NotFound):
        catalog.get("default", model.id)
