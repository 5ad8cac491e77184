"""The tables. Times are seconds since 1970 by the database's clock; see `now`."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from service.store.records import DEFAULT_PROJECT

metadata = MetaData(
    naming_convention={  # Alembic can only change a constraint on SQLite that has a name
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class now(FunctionElement[float]):
    """The database's clock in seconds, so that hosts with wrong clocks agree about leases."""

    type = Double()
    inherit_cache = True
    name = "now_seconds"


@compiles(now, "sqlite")
def _now_sqlite(_element: now, _compiler: SQLCompiler, **_: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(_element: now, _compiler: SQLCompiler, **_: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def _project() -> "Column[str]":
    """Whose row it is. With a default, so that rows from before there were projects belong to somebody."""
    return Column("project", String(40), nullable=False, server_default=DEFAULT_PROJECT)


def _bytes() -> "Column[int]":
    """What the folder of a row takes in the artifact store; 0 of what was stored before this was counted."""
    return Column("bytes", BigInteger, nullable=False, server_default="0")


datasets = Table(
    "datasets",
    metadata,
    Column("id", String(40), primary_key=True),
    _project(),
    Column("name", Text, nullable=False),
    Column("task", String(16), nullable=False),
    Column("language", Text),
    Column("labels", JSON, nullable=False),
    Column("splits", JSON, nullable=False),  # {"train": {"rows": n, "labels": {label: n}}, …}
    Column("warnings", JSON, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("val_sha256", String(64), nullable=False),  # which versions of a model may be compared
    Column("test_sha256", String(64), nullable=False),  # how often a test split has been scored
    _bytes(),
    Column("created_at", Double, nullable=False),
    Index(None, "project", "id"),
    Index(None, "project", "name", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    _project(),
    Column("status", String(16), nullable=False),
    Column("phase", String(16)),
    Column("dataset_id", String(40), nullable=False),  # no foreign key: a job's record outlives its data
    Column("test_sha256", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("hyperparameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("progress", JSON, nullable=False),
    Column("best", JSON),
    Column("error", JSON),
    Column("warnings", JSON, nullable=False),
    Column("model_id", String(40)),
    Column("attempt", Integer, nullable=False, default=0),  # raised by every claim: the fencing token
    Column("crashes", Integer, nullable=False, default=0),  # attempts that ended without a word
    Column("lease_owner", Text),
    Column("lease_until", Double),
    Column("cancel_requested_at", Double),
    Column("last_event", BigInteger, nullable=False, default=0),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("estimated_finish", Double),
    Column("deleted_at", Double),  # the row stays, so that what was measured on a test split stays counted
    Index(None, "status", "created_at", "id"),  # the oldest queued job
    Index(None, "project", "id"),  # this and the next three: lists, newest first
    Index(None, "project", "status", "id"),
    Index(None, "project", "name", "id"),
    Index(None, "project", "dataset_id", "id"),
    Index(None, "test_sha256"),
)

events = Table(
    "events",
    metadata,
    Column("job_id", String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, … within the job, no gaps
    Column("type", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON),
    Column("created_at", Double, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", String(40), primary_key=True),
    _project(),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("task", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("base_model", Text, nullable=False),
    Column("dataset_id", String(40), nullable=False),
    Column("job_id", String(40), nullable=False),
    Column("val_sha256", String(64), nullable=False),
    Column("val_loss", Double, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    _bytes(),
    Column("pinned_at", Double),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),  # the row stays, so that no version number is given out twice
    UniqueConstraint("project", "name", "version"),
    Index(None, "project", "id"),
    UniqueConstraint("job_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project", String(40), primary_key=True, server_default=DEFAULT_PROJECT),
    Column("key", String(255), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("made_id", String(40), nullable=False),  # of the data set or job that came of the request
    Column("created_at", Double, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("project", String(40), nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("secret_sha256", String(64), nullable=False),  # the secret itself is never stored
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),  # the row stays, so that a revoked last key opens nothing
)

installation = Table("installation", metadata, Column("id", String(40), primary_key=True))  # one row


def living_jobs(project: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What is true of the project's rows of `jobs` that are not deleted."""
    return jobs.c.project == project, jobs.c.deleted_at.is_(None)


def living_models(project: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What is true of the project's rows of `models` that are not deleted."""
    return models.c.project == project, models.c.deleted_at.is_(None)
