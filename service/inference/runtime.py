"""Torch and transformers in the service: imported in the background, because they take seconds and only
`/predict` needs them."""

import os
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

from service.errors import ModelTooLarge
from service.imports import without_collector
from service.settings import Settings
from service.store.artifacts import ArtifactStore
from service.store.records import ModelRecord

if TYPE_CHECKING:
    from service.inference.classifier import Classifier


class Runtime:
    """Opens classifiers on this machine's device. Each method may block until the libraries are there."""

    def __init__(self, settings: Settings, artifacts: ArtifactStore) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._lock = threading.Lock()

    def start(self) -> None:
        """Imports the libraries and sets their threads; again is no error, and at once.

        One thread at a time: transformers' lazy modules break when two import them together.
        """
        with self._lock:
            os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read once by OpenMP; see worker.process
            with without_collector() if "torch" not in sys.modules else nullcontext():
                from service.inference import architectures, device, engines  # noqa: F401  (imported for its time)

            architectures.quieten()
            device.use_threads(self._settings.threads)

    def load(self, record: ModelRecord) -> "Classifier":
        """Raises: NotFound, ArtifactCorrupt, DeviceMissing, ModelTooLarge."""
        self.start()
        from service.inference.classifier import Classifier
        from service.inference.device import is_out_of_memory, pick_device

        device = pick_device(self._settings.device)
        engine, threads = self._settings.engine, self._settings.threads
        try:
            return self._artifacts.read(
                "models",
                record.id,
                lambda folder: Classifier.load(folder, device, engine, threads),
                manifest_sha256=record.manifest_sha256,
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        raise _too_large(record)  # not from the error, which would hold on to what was loaded so far

    def device(self) -> str:
        """For people: where answers are computed. Raises: DeviceMissing."""
        self.start()
        from service.inference.device import describe_device, pick_device

        return describe_device(pick_device(self._settings.device))


def _too_large(record: ModelRecord) -> ModelTooLarge:
    return ModelTooLarge(
        f"there is no room for {record.id} in the memory of this service's device; try again when other models or "
        "programs have left it, or tell the operator",
        retry_after=30,
    )
