"""Uploads, and a place to store them."""

from pathlib import Path
from typing import Any

from parts.toy_text import choosing, columns
from service.datasets.cutting import Cut
from service.datasets.dataset import Dataset
from service.datasets.files import read_dataset
from service.datasets.ingest import Submission, delete_dataset, store_dataset
from service.settings import Settings, read_settings
from service.store import datasets as dataset_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.migrate import migrate
from service.store.records import DatasetRecord

SETTINGS = read_settings()


class Shelter:
    """A database and an artifact store of one test."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'test.sqlite3'}")
        migrate(self.database)
        self.artifacts = ArtifactStore(folder / "artifacts")

    def store(self, submission: Submission, settings: Settings = SETTINGS) -> DatasetRecord:
        return store_dataset(submission, settings, self.database, self.artifacts, project="default")

    def delete(self, dataset_id: str) -> None:
        delete_dataset("default", dataset_id, self.database, self.artifacts)

    def read(self, record: DatasetRecord) -> Dataset:
        return read_dataset(self.artifacts.open("datasets", record.id), record.task, record.labels)

    def rows(self) -> list[str]:
        with self.database.read() as tx:
            return [record.id for record in dataset_rows.page(tx, "default", 100, None).data]

    def files(self) -> list[str]:
        """Everything on disk: files anywhere, and whatever lies aside."""
        paths = self.artifacts.root.rglob("*")
        return sorted(path.name for path in paths if path.is_file() or path.parent.name == ".aside")


def submission(cut: Cut | None = None, /, **splits: object) -> Submission:
    return Submission("fruit", None, None, dict(splits), cut or Cut())


def fruit(rows: int = 30) -> dict[str, Any]:
    return columns(*choosing(rows))
