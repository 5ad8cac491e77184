"""Which models are in memory: loaded once, the most recently used kept, a new best taken over in passing."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.errors import ClassiglotError, DeviceLost, ModelTooLarge, Unavailable
from service.inference.batcher import Batcher
from service.inference.engine import Engine
from service.inference.planning import pass_tokens
from service.logs import get_logger
from service.store.artifacts import must_be_stored
from service.store.records import ModelRecord

if TYPE_CHECKING:  # it brings torch, which the service loads in the background
    from service.inference.classifier import Classifier

log = get_logger(__name__)
FRESH = 0.25  # seconds for which the catalog is not asked again; it would take a twentieth of a lone text's time
PATIENCE = 2.0  # seconds a request waits for a new best before the version in memory answers instead
LOADERS = 2  # models that are read at once
RETRY_LOAD = 30.0  # seconds before a version that could not be loaded is tried again


@dataclass(frozen=True, slots=True)
class Loaded:
    record: ModelRecord
    classifier: "Classifier"
    batcher: Batcher


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog said; `asked_at` by the monotonic clock, before it was asked."""

    record: ModelRecord
    asked_at: float


class Shelf:
    """Loaded models by id, of all projects. Use from one event loop.

    What is remembered of a name is a project's own, so that none is ever answered by another's model.

    Args:
        resolve: from a project and a wanted name, version, id or None to the version that answers (may block).
        load: from a version to its classifier (may block).
        memory_bytes: limit on the weights in memory; one model always stays.
    """

    def __init__(
        self,
        resolve: Callable[[str, str | None], ModelRecord],
        load: Callable[[ModelRecord], "Classifier"],
        engine: Engine,
        memory_bytes: int,
    ) -> None:
        self._resolve, self._load, self._engine = resolve, load, engine
        self._memory_bytes = memory_bytes
        # Not the loop's own threads: a few models that load would keep everybody from asking the catalog.
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="load")
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Loaded]] = {}
        self._failed: dict[str, float] = {}
        self._known: dict[tuple[str, str | None], _Known] = {}
        self._changed_at = -math.inf
        self._answering: dict[tuple[str, str], str] = {}  # project, name → the id that answered for it last

    async def take(self, project: str, wanted: str | None) -> Loaded:
        """The project's model that answers for `wanted`, loaded.

        Raises: NotFound, Unacceptable, ArtifactCorrupt, Unavailable.
        """
        record = await self._find(project, wanted)
        by_name = wanted in (None, record.name)  # neither an id nor a version may be answered by another
        name = (project, record.name)
        previous = self._loaded.get(self._answering.get(name, "")) if by_name else None
        loaded = self._loaded.get(record.id) or await self._load_or_wait(record, previous)
        if loaded.record.id in self._loaded:
            self._loaded.move_to_end(loaded.record.id)
        if by_name:
            self._answering[name] = loaded.record.id
        return loaded

    async def _load_or_wait(self, record: ModelRecord, previous: Loaded | None) -> Loaded:
        """The version asked for; but where one answered before, that one rather than a failure or a long wait."""
        if previous is None:
            return await asyncio.shield(self._start_loading(record))
        if time.monotonic() - self._failed.get(record.id, -RETRY_LOAD) < RETRY_LOAD:
            return previous
        task = self._start_loading(record)
        await asyncio.wait({task}, timeout=PATIENCE)
        return previous if not task.done() or task.exception() else task.result()

    def forget(self, model_id: str) -> None:
        """After the catalog has."""
        self._loaded.pop(model_id, None)
        self.look_again()

    def look_again(self) -> None:
        """The catalog has changed: nothing that it said before is still fresh. From any thread."""
        self._changed_at = time.monotonic()

    @property
    def loaded_ids(self) -> list[str]:
        return list(self._loaded)

    async def _find(self, project: str, wanted: str | None) -> ModelRecord:
        asked, now = (project, wanted), time.monotonic()
        known = self._known.get(asked)
        if known is not None and known.asked_at > max(self._changed_at, now - FRESH):
            return known.record
        try:
            record = await asyncio.to_thread(self._resolve, *asked)
        except Unavailable:
            # the database is away: what was true a moment ago still serves, if it is in memory
            if known is None or known.record.id not in self._loaded:
                raise
            return known.record
        except ClassiglotError:
            self._known.pop(asked, None)
            raise
        self._known[asked] = _Known(record, now)
        return record

    def _start_loading(self, record: ModelRecord) -> asyncio.Task[Loaded]:
        """One load a version, however many requests wait for it."""
        if record.id not in self._loading:
            task = asyncio.get_running_loop().create_task(self._load_and_keep(record))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, even if all callers left
            self._loading[record.id] = task
        return self._loading[record.id]

    async def _load_and_keep(self, record: ModelRecord) -> Loaded:
        began = time.monotonic()
        try:
            classifier = await self._load_with_room(record)
        except Exception as error:
            self._failed[record.id] = time.monotonic()
            log.error("model_load_failed", model_id=record.id, name=record.name, error=str(error))
            if isinstance(error, DeviceLost):
                self._engine.lose_device()
            raise
        finally:
            del self._loading[record.id]
        batcher = Batcher(classifier.forward, self._engine, pass_tokens(classifier.device.type))
        loaded = Loaded(record, classifier, batcher)
        self._loaded[record.id] = loaded
        self._failed.pop(record.id, None)
        self._make_room()
        log.info("model_loaded", model_id=record.id, name=record.name, seconds=round(time.monotonic() - began, 2))
        return loaded

    async def _load_with_room(self, record: ModelRecord) -> "Classifier":
        """Where it does not fit beside the others, they leave, but for versions of its own name: one of them answers
        if this one never fits."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._loaders, self._load_stored, record)
        except ModelTooLarge:
            name = (record.project, record.name)
            others = [key for key, own in self._loaded.items() if (own.record.project, own.record.name) != name]
            if not others:
                raise
        log.warning("models_unloaded", model_ids=others, why=f"{record.id} did not fit beside them")
        for model_id in others:
            del self._loaded[model_id]
        return await loop.run_in_executor(self._loaders, self._load_stored, record)

    def _load_stored(self, record: ModelRecord) -> "Classifier":
        """Raises: NotFound where it has been deleted meanwhile."""
        with must_be_stored(lambda: self._resolve(record.project, record.id)):
            return self._load(record)

    def _make_room(self) -> None:
        """The least recently used leave; requests that hold one keep it alive until they are answered."""
        while (
            len(self._loaded) > 1 and sum(item.classifier.bytes for item in self._loaded.values()) > self._memory_bytes
        ):
            model_id, _ = self._loaded.popitem(last=False)
            log.info("model_unloaded", model_id=model_id)
