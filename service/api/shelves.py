"""The models in memory: a shelf for each project, one limit for all of them.

Names, fall-backs and 'what answered last' are a shelf's own, so that one project's request can never be answered by
another's model, not even for the moment in which a version is loaded.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from service.inference.batcher import Engine
from service.inference.shelf import Loaded, Shelf
from service.store.records import ModelRecord

if TYPE_CHECKING:  # it brings torch, which the service loads in the background
    from service.inference.classifier import Classifier


class Shelves:
    """Use from one event loop.

    Args:
        resolve: from a project and a wanted name, id or None to the version that answers (may block).
        load: from a version to its classifier (may block).
        memory_bytes: limit on the weights in memory, all projects together; one model always stays.
    """

    def __init__(
        self,
        resolve: Callable[[str, str | None], ModelRecord],
        load: Callable[[ModelRecord], "Classifier"],
        engine: Engine,
        memory_bytes: int,
    ) -> None:
        self._resolve, self._load, self._engine, self._memory_bytes = resolve, load, engine, memory_bytes
        self._shelves: dict[str, Shelf] = {}
        self._recent: OrderedDict[str, str] = OrderedDict()  # model → project; last used last
        self._sizes: dict[str, int] = {}

    async def take(self, project: str, wanted: str | None) -> Loaded:
        """The model of the project that answers for `wanted`, loaded. Raises: as `Shelf.take`."""
        loaded = await self._shelf(project).take(wanted)
        self._recent[loaded.record.id] = project
        self._recent.move_to_end(loaded.record.id)
        self._make_room()
        return loaded

    def forget(self, project: str, model_id: str) -> None:
        self._shelf(project).forget(model_id)
        self._recent.pop(model_id, None)
        self._sizes.pop(model_id, None)

    def _shelf(self, project: str) -> Shelf:
        if project not in self._shelves:
            resolve = partial(self._resolve, project)
            self._shelves[project] = Shelf(resolve, self._load_and_note, self._engine, self._memory_bytes)
        return self._shelves[project]

    def _load_and_note(self, record: ModelRecord) -> "Classifier":
        classifier = self._load(record)
        self._sizes[record.id] = classifier.bytes
        return classifier

    def _make_room(self) -> None:
        """The least recently used leave, whoever owns them; what was loaded for nobody who still waits, last."""
        loaded = {model_id: project for project, shelf in self._shelves.items() for model_id in shelf.loaded_ids}
        order = [*(model_id for model_id in self._recent if model_id in loaded), *loaded.keys() - self._recent.keys()]
        too_much = sum(self._sizes.get(model_id, 0) for model_id in order) - self._memory_bytes
        for model_id in order[:-1]:
            if too_much <= 0:
                return
            too_much -= self._sizes.get(model_id, 0)
            self.forget(loaded[model_id], model_id)
