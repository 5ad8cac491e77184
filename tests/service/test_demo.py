"""What the demo does beside the main job, which `tests/end_to_end` runs."""

import threading

import httpx
import pytest
from rich.progress import Progress

from parts.ports import free_port
from service.access.keys import create_key, find_key, list_keys
from service.datasets.ingest import Submission, build_dataset
from service.datasets.warnings import dataset_warnings
from service.demo import _follow, key_where_needed, sample
from service.settings import Settings
from service.store.database import Database
from service.up import System


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


def test_it_waits_for_a_service_that_starts_again_until_it_is_asked_to_stop(settings: Settings) -> None:
    job = {"id": "job_x", "status": "queued", "progress": {"total_steps": 9}}
    asked_to_stop = threading.Event()
    threading.Timer(1, asked_to_stop.set).start()
    with httpx.Client(base_url=f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(KeyboardInterrupt):
        _follow(nobody, job, Progress(disable=True), System(settings), asked_to_stop)


def test_the_cut_of_the_sample_leaks_nothing(settings: Settings) -> None:
    dataset = build_dataset(Submission("sample", None, None, {"train": sample()["train"]}), settings)
    assert dataset_warnings(dataset) == []
