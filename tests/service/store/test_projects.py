"""Nobody asks the store without saying for whom."""

import inspect
from types import ModuleType
from typing import Any

import pytest

from parts.rows import add_dataset, add_job, add_model, claim
from service.store import datasets, events, jobs, models, usage
from service.store.database import Database
from service.store.records import Claim, Usage

# What takes no project: it is given whole rows or a worker's claim, or looks after all of them at once.
OF_ALL = {
    datasets: {"add", "known_ids"},
    jobs: {"add", "clock", "count_by_status", "claim_next", "reclaim_expired", "oldest_queued", "statuses"},
    models: {"add", "living_ids", "reported_ids"},
    events: {"append"},
    usage: set(),
}


@pytest.mark.parametrize("module", OF_ALL, ids=lambda module: module.__name__)
def test_every_query_names_a_project_or_a_claim(module: ModuleType) -> None:
    own = {
        name: part
        for name, part in inspect.getmembers(module, inspect.isfunction)
        if part.__module__ == module.__name__
    }
    public = {name: inspect.signature(part).parameters for name, part in own.items() if name[0] != "_"}
    scoped = {
        name
        for name, parameters in public.items()
        if any(p.annotation is Claim for p in parameters.values())
        or (list(parameters)[1:2] == ["project"] and parameters["project"].default is inspect.Parameter.empty)
    }
    assert public.keys() - scoped == OF_ALL[module]


def of_two(database: Database) -> dict[str, Any]:
    """A data set, a job and a model of the project `a`."""
    return {
        "dataset": add_dataset(database, project="a"),
        "job": add_job(database, project="a"),
        "model": add_model(database, project="a"),
    }


def test_of_anothers_rows_there_is_nothing(database: Database) -> None:
    mine = of_two(database)
    held = claim(database)
    with database.write() as tx:
        events.append(tx, held, "hello")
    for project, there in (("a", True), ("b", False)):
        with database.read() as tx:
            assert (datasets.get(tx, project, mine["dataset"].id) is not None) is there
            assert (jobs.get(tx, project, mine["job"].id) is not None) is there
            assert (models.get(tx, project, mine["model"].id) is not None) is there
            for rows in (datasets, jobs, models):
                assert bool(rows.page(tx, project, 10, None).data) is there
            assert bool(events.page(tx, project, mine["job"].id, 10, 0).data) is there
            assert bool(models.standings(tx, project, {"fruit"})) is there
            assert bool(models.names(tx, project, 10)) is there
            assert bool(models.get_version(tx, project, "fruit", 1)) is there
    with database.write() as tx:
        assert jobs.request_cancel(tx, "b", mine["job"].id) is None
        assert not models.pin(tx, "b", mine["model"].id)
        assert not models.unpin(tx, "b", mine["model"].id)
        assert not models.remove(tx, "b", mine["model"].id)
        datasets.remove(tx, "b", mine["dataset"].id)
        assert jobs.renew(tx, held, 60) is False
        jobs.finish(tx, held, "succeeded", {})
        jobs.remove(tx, "b", mine["job"].id)
        assert datasets.get(tx, "a", mine["dataset"].id) is not None
        assert jobs.get(tx, "a", mine["job"].id) is not None


def test_versions_count_up_in_each_project_and_scores_are_counted_in_one(database: Database) -> None:
    assert [add_model(database, project=project).version for project in ("a", "b", "a", "b")] == [1, 1, 2, 2]
    for _ in range(2):
        add_job(database, project="a")
        held = claim(database)
        with database.write() as tx:
            jobs.finish(tx, held, "succeeded", {})
    with database.read() as tx:
        assert [jobs.times_scored(tx, project, "3" * 64) for project in ("a", "b")] == [2, 0]


def test_usage_counts_what_is_there_and_ones_own(database: Database) -> None:
    add_dataset(database, project="a", bytes=5)
    add_job(database, project="a")
    held = claim(database)
    add_job(database, project="a")
    gone = add_model(database, project="a", bytes=100)
    add_model(database, project="a", bytes=2**40)
    add_model(database, project="b", bytes=7)
    with database.read() as tx:
        assert usage.count(tx, "a") == Usage(jobs=2, models=2, bytes=105 + 2**40)
        assert usage.count(tx, "b") == Usage(jobs=0, models=1, bytes=7)
        assert usage.count(tx, "c") == Usage(jobs=0, models=0, bytes=0)
    with database.write() as tx:
        models.remove(tx, "a", gone.id)
        jobs.finish(tx, held, "failed", {"error": None})
    with database.write() as tx:
        assert usage.count_to_add(tx, "a") == Usage(jobs=1, models=1, bytes=5 + 2**40)
