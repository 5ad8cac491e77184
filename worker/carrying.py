"""What a run reads and writes, carried between this machine's folder and a bucket. Nothing to do for a shared folder.

The run itself has no access to the bucket, and the thread that keeps its lease never waits for one: each errand has a
thread of its own, and lasts as long as a bucket that is away.
"""

import threading
import time
from collections.abc import Callable

from service.errors import ArtifactCorrupt, NotFound, Unavailable
from service.logs import get_logger
from service.store.artifacts import ArtifactStore, Kind
from service.store.records import Json
from service.store.remote_artifacts import RemoteArtifacts

log = get_logger(__name__)
LOOK_SECONDS = 0.5  # between looks for new checkpoints
PAUSE_SECONDS = 1.0  # after the bucket was away


class CarryFailed(Exception):
    """For another reason than that something is not there, or not whole: a full disk, for one."""


class Errand:
    """A call in a thread of its own, made again while it raises Unavailable."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.trouble: str | None = None  # why it is not done yet
        self._call = call
        self._error: Exception | None = None
        self._done, self._left = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="errand", daemon=True).start()

    def done(self, timeout_seconds: float) -> bool:
        """Whether it is, after so long at most. Raises: NotFound, ArtifactCorrupt; CarryFailed."""
        if not self._done.wait(timeout_seconds):
            return False
        if isinstance(self._error, NotFound | ArtifactCorrupt):
            raise self._error
        if self._error:
            raise CarryFailed(f"files of this job could not be carried: {self._error}") from self._error
        return True

    def leave(self) -> None:
        """It is not tried again."""
        self._left.set()

    def _run(self) -> None:
        while not self._left.is_set():
            try:
                self._call()
            except Unavailable as error:
                log.warning("errand_waits", error=error.message)
                self.trouble = error.message.split(";")[0]  # the rest is for somebody who can try again
                self._left.wait(PAUSE_SECONDS)
                continue
            except Exception as error:
                self._error = error
            self._done.set()
            return


class Carrier:
    """Of one attempt. Its methods return at once, or after `wait_seconds`."""

    def __init__(self, artifacts: ArtifactStore, job_id: str) -> None:
        self._bucket = artifacts if isinstance(artifacts, RemoteArtifacts) else None
        self._job_id = job_id
        self._carried: set[str] = set()  # checkpoints that are in the bucket as far as this attempt knows
        self._errand: Errand | None = None
        self._delivered: str | None = None
        self._looked, self._told = 0.0, False

    def fetched(self, dataset_id: str, wait_seconds: float) -> bool:
        """Whether the data set and the job's checkpoints are on this machine. Raises: NotFound, ArtifactCorrupt."""
        bucket = self._bucket
        if bucket is None:
            return True
        self._errand = self._errand or Errand(lambda: self._fetch(bucket, dataset_id))
        return self._over(wait_seconds)

    def keep_up(self) -> None:
        """Begins to carry what the run has written since, unless an errand is under way."""
        if self._bucket and self._over(0) and time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            self._begin_round(self._bucket)

    def is_known_to_all(self, message: Json, wait_seconds: float) -> bool:
        """Whether all machines find what the run speaks of: a model, or its last checkpoint."""
        bucket = self._bucket
        if bucket is None or message["kind"] not in ("succeeded", "stopped"):
            return True
        if not self._over(wait_seconds):
            return False
        if message["kind"] == "stopped":
            return not self._begin_round(bucket)
        if self._delivered != message["model_id"]:
            self._errand = Errand(lambda: self._deliver(bucket, message["model_id"]))
        return self._over(wait_seconds)

    def trouble(self) -> str | None:
        """Why it cannot get on, said once while that lasts."""
        words = self._errand.trouble if self._errand else None
        news, self._told = words if not self._told else None, words is not None
        return news

    def close(self) -> None:
        """The attempt is over; what is under way ends by itself."""
        if self._errand:
            self._errand.leave()

    def _over(self, wait_seconds: float) -> bool:
        """Whether no errand is under way any more."""
        if self._errand and not self._errand.done(wait_seconds):
            return False
        self._errand = None
        return True

    def _begin_round(self, bucket: RemoteArtifacts) -> bool:
        if bucket.copied_below("checkpoints", self._job_id) == self._carried:
            return False
        self._errand = Errand(lambda: self._carry(bucket))
        return True

    def _fetch(self, bucket: RemoteArtifacts, dataset_id: str) -> None:
        """Listed until nothing is new: an attempt that has lost the job may put a new one in place of an old one."""
        bucket.open("datasets", dataset_id)
        tried: set[str] = set()
        while names := bucket.below("checkpoints", self._job_id) - tried:
            for name in names:
                self._fetch_checkpoint(bucket, name)
            tried |= names

    def _fetch_checkpoint(self, bucket: RemoteArtifacts, name: str) -> None:
        try:
            bucket.open("checkpoints", name)
        except (NotFound, ArtifactCorrupt) as error:  # the run has others, or begins anew
            log.warning("checkpoint_not_fetched", checkpoint=name, error=error.message)
        else:
            self._carried.add(name)

    def _carry(self, bucket: RemoteArtifacts) -> None:
        """New ones, then away with those that the run has dropped, but only with what this attempt knows of, never with
        what another one has written. Backwards by name: the newest first, `best-…` before the state that needs it."""
        here = bucket.copied_below("checkpoints", self._job_id)
        for name in sorted(here - self._carried, reverse=True):
            try:
                bucket.share("checkpoints", name)
            except FileNotFoundError:  # the run has a newer one by now, which the next round will find
                return
            except FileExistsError:  # of the same seed, measured by another attempt: as good
                log.warning("checkpoint_there_already", checkpoint=name)
            self._carried.add(name)
        for name in self._carried - here:
            bucket.remove("checkpoints", name)
            self._carried.discard(name)

    def _deliver(self, bucket: RemoteArtifacts, model_id: str) -> None:
        parts: tuple[Kind, ...] = ("reports", "models")
        for kind in parts:  # of each there is no other copy: it stays for as long as this is tried
            bucket.mark_used(kind, model_id)
        for kind in parts:
            bucket.share(kind, model_id)
        self._delivered = model_id
