"""B36: hostile folders where real services and workers look for base models and for finished ones. Nothing in them is
run, nothing beside them is read, nobody is called, and all that is sound goes on. Figures are printed: `pytest -s`."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.invariants import all_jobs, check
from parts.canary import must_be_unread, set_out
from parts.deployment import Deployment, wait_until
from parts.finished_models import LABELS, publish, publish_changed, withdraw_all, write_model
from parts.hostile_models import CANARY_TEXT, HOSTILE, NAMES, UNFIT, UNFIT_FINISHED, mark_of_code
from parts.memory import forget_peak, peak_bytes
from parts.trap import Trap
from parts.wire import error_of
from service.models.finished import ModelCard
from service.store.records import FINAL

pytestmark = pytest.mark.waits  # for runs that begin and end; nothing here is timed
BASES = {f"hostile-{number}": what for number, what in enumerate((HOSTILE | UNFIT).values())}
MIB = 1024 * 1024


@dataclass
class Ground:
    deployment: Deployment
    canary: Path  # with more names, where folders lead with `..`
    trap: Trap

    def must_fail_by_name(self, job_id: str, words: str) -> None:
        self.deployment.wait_for(job_id, lambda job: job.status in FINAL, 60)
        job = self.deployment.job(job_id)
        assert (job.status, job.attempt) == ("failed", 1), job
        error = job.error or {}
        assert error["code"] == "base_model_unavailable", error
        self.must_say(error["message"], words)

    def must_be_refused(self, model_id: str, words: str) -> None:
        answer = self.deployment.client.post("/predict", json={"texts": ["a dog"], "model": model_id})
        self.must_say(error_of(answer, 500, "artifact_corrupt")["message"], words)

    def must_say(self, message: str, words: str) -> None:
        """And nothing of what hostile files name or hold."""
        assert words in message, message
        assert not [lure for lure in ("secret", "evil", "passwd", str(self.canary)) if lure in message], message


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A service, and processes that know of no network but the trap."""
    root, trap = tmp_path_factory.mktemp("hostile"), Trap()
    deployment = Deployment(root, extra_base_models=",".join(BASES), hf_home=root / "hub", **trap.environment)
    try:
        deployment.start_api()
        canary = set_out(root / "canary.txt", CANARY_TEXT)
        for folder in (root / "base-models", deployment.artifacts.root, deployment.artifacts.root / "models"):
            folder.mkdir(exist_ok=True)
            os.link(canary, folder / canary.name)
        deployment.wait_for_api()
        yield Ground(deployment, canary, trap)
    finally:
        deployment.stop()
        trap.close()


@pytest.fixture(autouse=True)
def nothing_is_touched(ground: Ground) -> Iterator[None]:
    yield
    assert ground.trap.heard == []
    assert not mark_of_code(ground.canary).exists()
    assert all(part.alive() for part in ground.deployment.parts)
    log = ground.deployment.log.read_text()
    assert "request_crashed" not in log
    assert "run_failed" not in log
    must_be_unread(ground.canary)


def test_no_job_is_made_for_a_name_that_leads_elsewhere(ground: Ground) -> None:
    dataset = ground.deployment.upload()
    for name in NAMES:
        answer = ground.deployment.client.post("/jobs", json={"dataset_id": dataset, "base_model": name})
        error_of(answer, 422, "base_model_unknown" if name else "request_invalid")
    assert all_jobs(ground.deployment) == []


def test_a_job_on_a_hostile_base_model_fails_by_name_and_the_next_good_one_succeeds(ground: Ground) -> None:
    """The runs are real but for one thing: they are forked from a process that has made their imports."""
    deployment = ground.deployment
    deployment.start_forking_worker()
    for name, (spoil, _) in BASES.items():
        spoil(_copied(deployment, name), ground.canary)
    expected = {name: words for name, (_, words) in BASES.items()} | {"camembert-base": "is not on this machine"}
    dataset, began = deployment.upload(), time.monotonic()
    submitted = {name: deployment.submit(dataset, base_model=name) for name in expected}
    for name, job_id in submitted.items():
        ground.must_fail_by_name(job_id, expected[name])
    seconds = time.monotonic() - began
    deployment.wait_for_status(deployment.submit(dataset, num_epochs=1), "succeeded", 120)
    check(deployment)
    print(f"B36: {len(submitted)} jobs on hostile base models failed by name in {seconds:.0f} s, the next succeeded")


def _copied(deployment: Deployment, name: str) -> Path:
    models = deployment.root / "base-models"
    return Path(shutil.copytree(models / "roberta-base", models / name))


def test_a_hostile_finished_model_is_refused_and_the_others_go_on_serving(ground: Ground, tmp_path: Path) -> None:
    """With checksums that fit; each is the newest and best of its name, under which the sound one goes on answering."""
    deployment, finished, hostile = ground.deployment, tmp_path / "finished", HOSTILE | UNFIT_FINISHED
    stores = (deployment.database, deployment.artifacts)
    good = publish(*stores, val_loss=0.9)
    before = _ask(deployment, good.name)
    write_model(finished, ModelCard("choosing", list(LABELS), 64, "x", "j", "0" * 64))
    api = deployment.parts[1].pid
    memory = forget_peak(api)
    for what, (spoil, words) in hostile.items():
        model = publish_changed(*stores, finished, spoil, ground.canary, val_loss=0.1)
        assert _ask(deployment, good.name) == before, what
        ground.must_be_refused(model.id, words)
    grown = (peak_bytes(api) - memory) // MIB
    assert grown < 64
    sound = publish(*stores, val_loss=0.05)
    wait_until(lambda: _ask(deployment, good.name)["model"]["id"] == sound.id, 30, deployment.tail)
    withdraw_all(deployment.database)
    print(f"B36: {len(hostile)} hostile finished models refused, +{grown} MiB, the sound one answered after each")


def _ask(deployment: Deployment, model: str) -> Any:
    answer = deployment.client.post("/predict", json={"texts": ["a dog"], "model": model})
    assert answer.status_code == 200, answer.text
    return answer.json()
