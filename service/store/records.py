"""Rows as frozen dataclasses: what the rest of the house sees of the database."""

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

Task = Literal["choosing", "deciding"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
UNFINISHED: tuple[Status, ...] = ("queued", "running")
DEFAULT_PROJECT = "default"  # of everything that was made without a key
Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    id: str
    project: str
    name: str
    task: Task
    language: str | None
    labels: list[str]
    splits: Json
    warnings: list[Json]
    sha256: str
    val_sha256: str
    test_sha256: str
    bytes: int
    created_at: float


@dataclass(frozen=True, slots=True)
class JobRecord:
    id: str
    project: str
    status: Status
    phase: str | None
    dataset_id: str
    test_sha256: str
    name: str
    base_model: str
    hyperparameters: Json
    metadata: dict[str, str]
    progress: Json
    best: Json | None
    error: Json | None
    warnings: list[Json]
    model_id: str | None
    attempt: int
    crashes: int
    lease_owner: str | None
    lease_until: float | None
    cancel_requested_at: float | None
    last_event: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    estimated_finish: float | None
    deleted_at: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to write about a running job; void as soon as another attempt has begun."""

    job_id: str
    attempt: int
    owner: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    job_id: str
    number: int
    type: str
    level: str
    message: str
    data: Json | None
    created_at: float


@dataclass(frozen=True, slots=True)
class ModelRecord:
    id: str
    project: str
    name: str
    version: int
    task: Task
    labels: list[str]
    base_model: str
    dataset_id: str
    job_id: str
    val_sha256: str
    val_loss: float
    metrics: Json
    manifest_sha256: str
    bytes: int
    pinned_at: float | None
    created_at: float
    deleted_at: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a version decides whether it is its name's best."""

    id: str
    name: str
    version: int
    val_sha256: str
    val_loss: float
    pinned_at: float | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key, without its secret. `live`: neither revoked nor expired, by the database's clock."""

    id: str
    project: str
    name: str
    scopes: list[str]
    secret_sha256: str = field(repr=False)
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    live: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project has: jobs that are queued or running, living models, bytes of data sets and living models."""

    jobs: int
    models: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, newest first unless said otherwise."""

    data: list[T]
    has_more: bool
