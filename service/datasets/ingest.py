"""An upload becomes a stored data set, or is refused whole."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from service.access.quotas import check_room_for_bytes
from service.datasets.checks import check_labels, check_sizes, to_examples
from service.datasets.complaints import Complaints
from service.datasets.cutting import Cut, cut_missing
from service.datasets.dataset import SPLITS, Dataset
from service.datasets.files import write_dataset
from service.datasets.formats import read_file, read_json
from service.datasets.groups import check_groups, group_warnings
from service.datasets.languages import language_warnings
from service.datasets.rows import RawSplit
from service.datasets.split_column import obey_split_column
from service.datasets.task import infer_task
from service.datasets.unlabelled import Unlabelled, leave_out_unlabelled
from service.datasets.warnings import dataset_warnings
from service.datasets.wide_labels import check_wide
from service.errors import Conflict, DiskFull, NotFound, Unavailable, Unreadable
from service.settings import Settings
from service.store import datasets as dataset_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database, Transaction
from service.store.idempotency import make_once, replay
from service.store.ids import new_id
from service.store.records import DatasetRecord, Json, Task
from service.store.usage import count_to_add


@dataclass(frozen=True, slots=True)
class Upload:
    """One split as a file."""

    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """What was sent: each split a file, or what a JSON body has of it."""

    name: str
    task: Task | None
    language: str | None
    splits: dict[str, Upload | object]
    cut: Cut = field(default_factory=Cut)
    unlabelled: Unlabelled | None = None

    def sha256(self) -> str:
        """The same for two submissions that say the same, whatever stood between the parts of the form.

        Raises: Unreadable.
        """
        cut = asdict(self.cut)
        later = {
            "group": cut.pop("group"),
            "unlabelled": self.unlabelled,
        }  # the sum of who asks for neither is as it was
        asked = ["data set", self.name, self.task, self.language, cut, *([later] if any(later.values()) else [])]
        splits = {name: _said(split) for name, split in self.splits.items()}
        try:
            said = json.dumps([*asked, splits], sort_keys=True)
        except RecursionError:  # writing takes a little more of the stack than reading did
            raise Unreadable("a split is nested too deeply; send lists of texts and of labels") from None
        return hashlib.sha256(said.encode()).hexdigest()


def _said(split: Upload | object) -> object:
    return [split.filename, hashlib.sha256(split.data).hexdigest()] if isinstance(split, Upload) else split


def store_dataset(
    submission: Submission,
    settings: Settings,
    database: Database,
    artifacts: ArtifactStore,
    *,
    project: str,
    key: str | None = None,
) -> DatasetRecord:
    """Checks, cuts and stores an upload. With an idempotency `key`, the same upload again gives the same data set.

    Raises: DatasetInvalid, Unreadable, Conflict (quota; a key used for something else); then nothing is kept.
    Unavailable: whether a database that went silent has kept it is not known, so its files stay until a sweep.
    """
    request_sha256 = submission.sha256() if key else ""
    if key:  # before the work; what is at work just now is met below
        with database.read() as tx:
            if found := replay(tx, project, key, request_sha256, dataset_rows.get):
                return found
    dataset = build_dataset(submission, settings)
    dataset_id = new_id("ds")
    with artifacts.writing("datasets", dataset_id) as folder:
        sums = write_dataset(dataset, folder)
    stored: Json = {"id": dataset_id, "project": project, "bytes": artifacts.size("datasets", dataset_id)}
    values = stored | _described(submission, dataset, sums)
    added = is_needed = False

    def add(tx: Transaction) -> DatasetRecord:
        nonlocal added
        check_room_for_bytes(count_to_add(tx, project), values["bytes"], settings)
        record = dataset_rows.add(tx, values)
        added = True
        return record

    try:
        record, is_needed = make_once(database, project, key, request_sha256, add, dataset_rows.get)
    except Unavailable as error:  # after the row was added it may be the commit that is not answered, but done
        is_needed = added and not isinstance(error, DiskFull)
        raise
    finally:
        if not is_needed:
            artifacts.forget("datasets", dataset_id)
    return record


def _described(submission: Submission, dataset: Dataset, sums: Mapping[str, str]) -> Json:
    """What a row says of a data set; `sums`: SHA-256 of each split."""
    return {
        "name": submission.name,
        "task": dataset.task,
        "language": submission.language,
        "labels": dataset.labels,
        "splits": dataset.summary(),
        "warnings": dataset_warnings(dataset),
        "sha256": hashlib.sha256("".join(sums[name] for name in SPLITS).encode()).hexdigest(),
        "val_sha256": sums["val"],
        "test_sha256": sums["test"],
    }


def delete_dataset(project: str, dataset_id: str, database: Database, artifacts: ArtifactStore) -> None:
    """Raises: NotFound; Conflict while a job that is not final needs it."""
    with database.write() as tx:
        if dataset_rows.get(tx, project, dataset_id, lock=True) is None:
            raise dataset_not_found()
        if dataset_rows.in_use(tx, project, dataset_id):
            raise Conflict("a queued or running job needs this data set; cancel it first", code="dataset_in_use")
        dataset_rows.remove(tx, project, dataset_id)
    artifacts.forget("datasets", dataset_id)


def dataset_not_found() -> NotFound:
    return NotFound("there is no data set with this id; GET /datasets lists them", code="dataset_not_found")


def build_dataset(submission: Submission, settings: Settings) -> Dataset:
    """From what was sent to a checked data set with all three splits. Raises: DatasetInvalid, Unreadable."""
    complaints = Complaints()
    raw, left_out = _read_all(submission, settings, complaints)
    task, deciding_cells = (submission.task, []) if submission.task else infer_task(raw, complaints)
    notices = language_warnings(submission.language) + left_out + check_wide(raw, task, complaints)
    complaints.raise_if_any()
    parted = "train" if len(raw) < len(SPLITS) else None
    splits = {
        name: to_examples(raw.pop(name), name, task, settings, complaints, numbered=name == parted)  # both: much memory
        for name in list(raw)
    }
    complaints.raise_if_any()
    group = submission.cut.group
    if group is not None:
        check_groups(splits, group, complaints)
    splits, of_column = obey_split_column(splits, complaints)
    complaints.raise_if_any()
    labels = sorted({label for rows in splits.values() for row in rows for label in row.labels})
    dataset = Dataset(task, labels, splits, deciding_cells, notices + of_column)
    check_labels(dataset, settings, complaints)
    complaints.raise_if_any()
    dataset = replace(dataset, splits=cut_missing(splits, submission.cut, submission.splits, complaints))
    return dataset if group is None else replace(dataset, notices=[*dataset.notices, *group_warnings(dataset, group)])


def _read_all(
    submission: Submission, settings: Settings, complaints: Complaints
) -> tuple[dict[str, RawSplit], list[Json]]:
    """The splits as they were sent, but for rows that are to be left out, and what is said of these."""
    raw = {name: _read(name, sent, complaints, settings) for name, sent in submission.splits.items()}
    complaints.raise_if_any()
    check_sizes(raw, settings, complaints)
    complaints.raise_if_any()
    raw, left_out = leave_out_unlabelled(raw, complaints) if submission.unlabelled else (raw, [])
    complaints.raise_if_any()
    return raw, left_out


def _read(name: str, sent: Upload | object, complaints: Complaints, settings: Settings) -> RawSplit:
    if isinstance(sent, Upload):
        return read_file(sent.filename, sent.data, name, complaints, settings)
    return read_json(sent, name, complaints)
