import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from parts.finished_models import publish
from service.errors import ArtifactCorrupt, ModelTooLarge, NotFound, Unacceptable, Unavailable
from service.inference import shelf
from service.inference.classifier import Classifier
from service.inference.engine import Engine
from service.inference.runtime import Runtime
from service.inference.shelf import Shelf
from service.models.versions import ModelCatalog
from service.settings import Settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.migrate import migrate
from service.store.records import ModelRecord


class Installation:
    """Database, artifacts and a shelf on them; counts what is loaded."""

    def __init__(self, root: Path, memory_bytes: int = 10**9) -> None:
        self.database = Database(f"sqlite:///{root}/db.sqlite3")
        migrate(self.database)
        self.artifacts = ArtifactStore(root / "artifacts")
        self.catalog = ModelCatalog(self.database, self.artifacts)
        self.loads: list[str] = []
        self.shelf = Shelf(self.catalog.resolve, self.load, Engine(4096, 10**6), memory_bytes)

    def load(self, record: ModelRecord) -> Classifier:
        self.loads.append(record.id)
        return Classifier.load(self.artifacts.open("models", record.id), torch.device("cpu"))

    def publish(self, name: str = "fruit", **values: Any) -> ModelRecord:
        """Known to the shelf at once, where others would wait until it asks the catalog again."""
        record = publish(self.database, self.artifacts, name=name, **values)
        self.shelf.look_again()
        return record

    async def take(self, wanted: str | None) -> str:
        return (await self.shelf.take("default", wanted)).record.id


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Its requests wait for a new version however long it takes to load on a machine that does other things too."""
    monkeypatch.setattr(shelf, "PATIENCE", 30.0)
    return Installation(tmp_path)


def test_a_model_is_loaded_once_for_many_who_ask_at_once(house: Installation) -> None:
    model = house.publish()

    async def scenario() -> None:
        taken = await asyncio.gather(*(house.take("fruit") for _ in range(20)), house.take(model.id), house.take(None))
        assert set(taken) == {model.id}

    asyncio.run(scenario())
    assert house.loads == [model.id]


def test_a_new_best_takes_over_and_the_old_version_still_answers_by_its_id(house: Installation) -> None:
    old = house.publish(val_loss=0.5)

    async def scenario() -> None:
        assert await house.take("fruit") == old.id
        new = house.publish(val_loss=0.4, seed=1)
        assert await house.take("fruit") == new.id
        assert await house.take(old.id) == old.id

    asyncio.run(scenario())


def test_a_version_that_is_asked_for_is_never_answered_by_another(house: Installation) -> None:
    house.publish(val_loss=0.4)
    second = house.publish(val_loss=0.5, seed=1)
    broken = house.publish(val_loss=0.6, spoilt=True)

    async def scenario() -> None:
        await house.take("fruit")
        assert await house.take("fruit:2") == second.id
        for wanted in ("fruit:3", broken.id):
            with pytest.raises(ArtifactCorrupt):
                await house.take(wanted)

    asyncio.run(scenario())


def test_a_new_best_that_is_damaged_leaves_the_old_one_serving(house: Installation) -> None:
    old = house.publish(val_loss=0.5)

    async def scenario() -> None:
        await house.take("fruit")
        new = house.publish(val_loss=0.4)
        (house.artifacts.path("models", new.id) / "model.safetensors").write_bytes(b"damaged")
        assert await house.take("fruit") == old.id
        assert await house.take("fruit") == old.id
        assert house.loads.count(new.id) == 1  # not tried again with every request
        with pytest.raises(ArtifactCorrupt):
            await house.take(new.id)

    asyncio.run(scenario())


def test_a_version_asked_for_by_its_id_never_answers_for_the_name(house: Installation) -> None:
    old = house.publish(val_loss=0.5)
    best = house.publish(val_loss=0.4)
    (house.artifacts.path("models", best.id) / "model.safetensors").write_bytes(b"damaged")

    async def scenario() -> None:
        assert await house.take(old.id) == old.id
        with pytest.raises(ArtifactCorrupt):
            await house.take("fruit")

    asyncio.run(scenario())


def test_the_least_recently_used_leave_when_memory_is_full(tmp_path: Path) -> None:
    house = Installation(tmp_path)
    models = [house.publish(name) for name in ("one", "two", "three")]
    size = house.load(models[0]).bytes
    house.loads.clear()
    house.shelf = Shelf(house.catalog.resolve, house.load, Engine(4096, 10**6), int(size * 2.5))

    async def scenario() -> None:
        for name in ("one", "two", "one", "three"):
            await house.take(name)
        assert house.shelf.loaded_ids == [models[0].id, models[2].id]
        await house.take("two")
        assert len(house.loads) == 4

    asyncio.run(scenario())


def test_the_catalog_is_asked_again_after_a_moment_and_after_a_change_at_once(
    house: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "FRESH", 60)
    asked = 0

    def resolve(project: str, wanted: str | None) -> ModelRecord:
        nonlocal asked
        asked += 1
        return house.catalog.resolve(project, wanted)

    old = house.publish(val_loss=0.5)
    house.shelf = Shelf(resolve, house.load, Engine(4096, 10**6), 10**9)

    async def scenario() -> None:
        for _ in range(3):
            assert await house.take("fruit") == old.id
        assert asked == 1
        new = publish(house.database, house.artifacts, name="fruit", val_loss=0.4)  # nobody tells the shelf
        assert await house.take("fruit") == old.id
        monkeypatch.setattr(shelf, "FRESH", 0)
        assert await house.take("fruit") == new.id
        assert asked == 2
        monkeypatch.setattr(shelf, "FRESH", 60)
        house.catalog.delete("default", new.id)
        house.shelf.forget(new.id)
        assert await house.take("fruit") == old.id

    asyncio.run(scenario())


def test_what_was_asked_before_a_change_is_not_fresh_after_it(house: Installation) -> None:
    """The catalog's answer may be on its way while a version is deleted."""
    old, new = house.publish(val_loss=0.5), house.publish(val_loss=0.4)
    answered, deleted = threading.Event(), threading.Event()

    def resolve(project: str, wanted: str | None) -> ModelRecord:
        record = house.catalog.resolve(project, wanted)
        answered.set()
        assert deleted.wait(10)
        return record

    house.shelf = Shelf(resolve, house.load, Engine(4096, 10**6), 10**9)

    async def scenario() -> None:
        early = asyncio.create_task(house.take("fruit"))
        await asyncio.to_thread(answered.wait, 10)
        house.shelf.forget(new.id)  # as if deleted: by name the early one gets what it asked for
        house.catalog.promote("default", old.id)
        deleted.set()
        assert await early == new.id
        assert await house.take("fruit") == old.id

    asyncio.run(scenario())


def test_models_of_other_names_leave_for_one_that_does_not_fit_beside_them(house: Installation) -> None:
    """The device holds one model; a version of the name that answers stays, for it may have to go on."""
    held: list[str] = []

    def load(record: ModelRecord) -> Classifier:
        held[:] = house.shelf.loaded_ids
        if held:
            raise ModelTooLarge("it does not fit")
        return house.load(record)

    one, two = house.publish("one"), house.publish("two")
    house.shelf = Shelf(house.catalog.resolve, load, Engine(4096, 10**6), 10**9)

    async def scenario() -> None:
        assert await house.take("one") == one.id
        assert await house.take("two") == two.id
        assert house.shelf.loaded_ids == [two.id]
        better = house.publish("two", val_loss=0.1)
        assert await house.take("two") == two.id
        with pytest.raises(ModelTooLarge):
            await house.take(better.id)

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: out of memory")])
def test_memory_that_runs_out_while_a_model_is_read_is_told_as_such(
    house: Installation, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """However torch says it."""

    def load(*_: object) -> Classifier:
        raise error

    record = house.publish()
    monkeypatch.setattr(Classifier, "load", load)
    with pytest.raises(ModelTooLarge, match="there is no room for mdl_"):
        Runtime(settings, house.artifacts).load(record)


def test_models_that_load_keep_nobody_from_those_in_memory(house: Installation) -> None:
    """However many, and however slowly."""
    ready = house.publish("ready")
    slow = [house.publish(f"slow{number}") for number in range(40)]
    go_on = threading.Event()

    def load(record: ModelRecord) -> Classifier:
        assert record.id == ready.id or go_on.wait(30)
        return house.load(record)

    house.shelf = Shelf(house.catalog.resolve, load, Engine(4096, 10**6), 10**9)

    async def scenario() -> None:
        await house.take("ready")
        waiting = [asyncio.create_task(house.take(record.id)) for record in slow]
        await asyncio.sleep(0.5)
        house.shelf.look_again()
        assert await asyncio.wait_for(house.take("ready"), 5) == ready.id
        go_on.set()
        await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_without_a_name_the_only_one_answers_and_several_must_be_told_apart(house: Installation) -> None:
    async def scenario() -> None:
        with pytest.raises(NotFound):
            await house.take(None)
        only = house.publish("one")
        assert await house.take(None) == only.id
        house.publish("two")
        with pytest.raises(Unacceptable):
            await house.take(None)
        with pytest.raises(NotFound):
            await house.take("three")

    asyncio.run(scenario())


def test_a_database_that_is_away_does_not_silence_models_in_memory(house: Installation) -> None:
    model = house.publish()
    away = False

    def resolve(project: str, wanted: str | None) -> ModelRecord:
        if away:
            raise Unavailable("the database does not answer")
        return house.catalog.resolve(project, wanted)

    house.shelf = Shelf(resolve, house.load, Engine(4096, 10**6), 10**9)

    async def scenario() -> None:
        nonlocal away
        await house.take("fruit")
        away = True
        house.shelf.look_again()
        assert await house.take("fruit") == model.id
        with pytest.raises(Unavailable):
            await house.take("another")

    asyncio.run(scenario())


def test_while_the_database_is_away_no_project_gets_what_another_asked_for(house: Installation) -> None:
    house.publish()
    away = False

    def resolve(project: str, wanted: str | None) -> ModelRecord:
        if away:
            raise Unavailable("the database does not answer")
        return house.catalog.resolve(project, wanted)

    house.shelf = Shelf(resolve, house.load, Engine(4096, 10**6), 10**9)

    async def scenario() -> None:
        nonlocal away
        await house.take("fruit")
        away = True
        with pytest.raises(Unavailable):
            await house.shelf.take("other", "fruit")

    asyncio.run(scenario())
