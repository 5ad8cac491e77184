"""What every service and worker looks after: lost jobs, forgotten rings, leftovers on disk.

Each step is safe to do at the same time in several processes, so no leader is needed.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from service.errors import ClassiglotError
from service.jobs.queue import Doorbell
from service.logs import get_logger
from service.settings import Settings
from service.store import datasets as dataset_rows
from service.store import events as event_rows
from service.store import jobs as job_rows
from service.store import models as model_rows
from service.store.artifacts import ArtifactStore, Kind
from service.store.database import Database
from service.store.idempotency import forget_old_keys
from service.store.records import FINAL, JobRecord

log = get_logger(__name__)
RINGS_AT_ONCE = 20
TIDY_EVERY = 100  # sweeps
ORPHAN_SECONDS = 24 * 3600.0
# folders of a kind → which of their names are wanted; a report stays when its model is deleted, and goes with its job
_OWNERS: dict[Kind, Callable[..., set[str]]] = {
    "datasets": dataset_rows.known_ids,
    "models": model_rows.living_ids,
    "reports": model_rows.reported_ids,
}
WORKER_LOST = {
    "code": "worker_lost",
    "message": "the worker that ran this job fell silent each time it was tried; see the worker's log for why",
}


def reclaim_lost_jobs(database: Database, max_attempts: int) -> list[JobRecord]:
    """Running jobs whose lease ran out become queued again, or final after too many attempts."""
    with database.write() as tx:
        jobs = job_rows.reclaim_expired(tx, max_attempts, WORKER_LOST)
        for job in jobs:
            event_rows.append(
                tx, job.id, f"the worker of attempt {job.attempt} fell silent; now {job.status}", level="warning"
            )
    for job in jobs:
        log.warning("job_reclaimed", job_id=job.id, attempt=job.attempt, status=job.status)
    return jobs


def ring_for_forgotten_jobs(database: Database, doorbell: Doorbell) -> int:
    """Rings where jobs are queued and nothing rings: a broker may lose messages, or have been away.

    Messages that still wait will bring a worker, which takes the oldest queued job whatever id it was
    called with; so an idle queue is the only case to mend, and rings never pile up.
    """
    with database.read() as tx:
        queued = job_rows.oldest_queued(tx, RINGS_AT_ONCE)
    if not queued or doorbell.waiting():
        return 0
    return sum(doorbell.ring(job_id) for job_id in queued)


def tidy(database: Database, artifacts: ArtifactStore) -> None:
    """Deletes what crashed writers left, checkpoints of jobs that are final, folders that no row knows of, and
    idempotency keys that have served."""
    artifacts.sweep()
    with database.write() as tx:
        forget_old_keys(tx)
    for batch in _batches(artifacts.names("checkpoints")):
        with database.read() as tx:
            statuses = job_rows.statuses(tx, batch)
        for name, status in statuses.items():
            if status in FINAL:
                artifacts.remove("checkpoints", name)
    for kind, known in _OWNERS.items():
        for batch in _batches(artifacts.names(kind, older_than_seconds=ORPHAN_SECONDS)):
            with database.read() as tx:
                orphans = set(batch) - known(tx, batch)
            for name in orphans:
                log.warning("orphan_removed", kind=kind, name=name)
                artifacts.remove(kind, name)


def _batches(names: list[str], size: int = 500) -> Iterator[list[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


class Sweeper:
    """Sweeps in a thread of its own, at jittered times, until stopped."""

    def __init__(self, settings: Settings, database: Database, artifacts: ArtifactStore, doorbell: Doorbell) -> None:
        self._settings, self._database, self._artifacts, self._doorbell = settings, database, artifacts, doorbell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._count = 0
        self._tidying: threading.Thread | None = None
        self._clocks: tuple[float, float] | None = None  # our own and the database's, at the last sweep

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in filter(None, (self._thread, self._tidying)):
            thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.sweep_seconds * random.uniform(0.8, 1.2)):
            self._outliving(self._sweep)

    def _outliving(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ClassiglotError as error:  # a dependency is away; the next sweep finds it back
            log.warning("sweep_failed", error=error.message)
        except Exception:  # the sweeper must outlive its bugs: lost jobs depend on it
            log.exception("sweep_failed")

    def _sweep(self) -> None:
        if self._time_jumped():
            log.warning(
                "time_jumped", why="the machine slept, or a clock was set: holders of leases may renew them first"
            )
        else:
            reclaim_lost_jobs(self._database, self._settings.max_attempts)
        ring_for_forgotten_jobs(self._database, self._doorbell)
        if self._count % TIDY_EVERY == 0:
            self._begin_to_tidy()
        self._count += 1

    def _begin_to_tidy(self) -> None:
        """In a thread of its own: lost jobs do not wait for a bucket that is slow, or away."""
        if self._tidying is None or not self._tidying.is_alive():
            work = partial(tidy, self._database, self._artifacts)
            self._tidying = threading.Thread(target=self._outliving, args=(work,), name="tidy", daemon=True)
            self._tidying.start()

    def _time_jumped(self) -> bool:
        """Whether the database's clock ran on while ours, which stands still in a machine that sleeps, did not. Every
        lease is over then, and none of their holders has had a moment to renew one."""
        with self._database.read() as tx:
            theirs = job_rows.clock(tx)
        before, self._clocks = self._clocks, (time.monotonic(), theirs)
        if before is None:
            return False
        return (theirs - before[1]) - (self._clocks[0] - before[0]) > self._settings.lease_seconds / 4
