"""Every setting, typed, frozen, read once from the environment when a process starts."""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import SettingsInvalid

MEBIBYTE = 1024 * 1024
BUCKET_URL = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w-][\w.-]*)*/?"
RateLimit = Annotated[str | None, Field(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]


class Settings(BaseSettings):
    """What an operator may set. The environment variable is the field's name in capitals, no prefix.

    `none` takes a limit away that may be absent: those of rates and quotas.

    With nothing set, everything is embedded under `data_dir`: SQLite, a folder, a broker of our own.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_parse_none_str="none")

    # where things are kept
    data_dir: Path = Field(default=Path("data"), description="folder of everything that must be kept")
    database_url: str | None = Field(
        default=None,
        description="`postgresql://user:password@host/name`; default: SQLite in the data dir",
    )
    broker_url: str | None = Field(
        default=None, description="`redis://host:6379/0`; default: a server of our own on a private socket"
    )
    artifacts_url: str | None = Field(
        default=None,
        description="folder (or `file://` URL) shared by all processes, or `s3://bucket/prefix`; "
        "default: in the data dir",
    )
    artifacts_cache_bytes: int = Field(
        default=20 * 1024 * MEBIBYTE,
        ge=0,
        description="room in the data dir for copies of what is in a bucket; least recently used are evicted first",
    )

    # base models
    base_models_dir: Path | None = Field(
        default=None, description="folder of local checkpoints, one subfolder for each base model's name"
    )
    extra_base_models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="further base models that jobs may name, separated by commas"
    )

    # the HTTP edge
    host: str = Field(default="127.0.0.1", description="address the service listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="port the service listens on")
    root_path: str = Field(default="", description="path under which a proxy shows the service, such as `/classiglot`")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="origins whose web pages may call the service with a key, such as `https://app.example`, "
        "separated by commas",
    )
    drain_seconds: float = Field(
        default=0,
        ge=0,
        description="after SIGTERM, how long the service reports not ready but still answers, so that load balancers "
        "can move away",
    )
    head_seconds: float = Field(default=10, ge=1, description="longest time for a request's headers to arrive")
    body_seconds: float = Field(
        default=60,
        ge=1,
        description="longest time for a request's body to arrive (more at 16 kB/s or faster), and for an answer to be "
        "read",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="how much is logged: `debug`, `info`, `warning` or `error`"
    )

    # limits on what is sent
    max_upload_bytes: int = Field(
        default=200 * MEBIBYTE, ge=1, description="largest body of `POST /datasets`, and of lines for `POST /predict`"
    )
    max_rows: int = Field(default=1_000_000, ge=1, description="most rows in one data set")
    max_labels: int = Field(default=1_000, ge=2, description="most labels in one data set")
    max_text_bytes: int = Field(default=MEBIBYTE, ge=1, description="largest single text, in UTF-8")
    max_request_bytes: int = Field(default=32 * MEBIBYTE, ge=1, description="largest body of any other request")
    max_texts: int = Field(default=10_000, ge=1, description="most texts in one `POST /predict`")

    # keys: how often each may ask, and how often an address may guess
    rate_limit_read: RateLimit = Field(default="1200/minute", description="requests with scope `read`, per key")
    rate_limit_train: RateLimit = Field(default="300/minute", description="requests with scope `train`, per key")
    rate_limit_predict: RateLimit = Field(default="12000/minute", description="`POST /predict`, per key")
    rate_limit_wrong_keys: RateLimit = Field(
        default="20/minute", description="wrong keys from one address before the answer is 429"
    )

    # quotas: what one project may have
    quota_jobs: int | None = Field(default=1_000, ge=1, description="jobs queued and running in one project")
    quota_models: int | None = Field(default=1_000, ge=1, description="models in one project")
    quota_bytes: int | None = Field(
        default=1024 * 1024 * MEBIBYTE, ge=1, description="bytes of data sets and models in one project"
    )

    # serving
    max_batch_tokens: int = Field(default=8_192, ge=512, description="tokens in one forward pass, padding counted")
    max_queued_tokens: int = Field(
        default=2_000_000, ge=512, description="tokens that may wait or run before `/predict` answers 429"
    )
    max_wait_seconds: float = Field(
        default=10, gt=0, description="longest time that a text may wait for the model before `/predict` answers 429"
    )
    model_memory_bytes: int = Field(
        default=4096 * MEBIBYTE, ge=1, description="memory for loaded models; least recently used are evicted first"
    )

    # jobs
    worker_concurrency: int = Field(default=1, ge=1, le=64, description="training runs at once in one worker")
    spare_run: bool = Field(
        default=True,
        description="whether an idle worker starts the next job's process in advance: saves 6 s, costs 430 MB",
    )
    lease_seconds: float = Field(
        default=60, ge=1, description="a running job not heard of for this long counts as lost"
    )
    sweep_seconds: float = Field(default=5, gt=0, description="how often lost and forgotten jobs are looked for")
    max_attempts: int = Field(default=3, ge=1, description="attempts before a job that kills its worker fails")
    stall_seconds: float = Field(
        default=600,
        ge=1,
        description="a training run that stands still for this long counts as stuck and is tried again",
    )
    max_run_seconds: float | None = Field(
        default=None,
        gt=0,
        description="longest time for one attempt before the job fails; default: no limit",
    )
    checkpoint_seconds: float = Field(
        default=10,
        ge=0,
        description="shortest time between checkpoints, which are made at ends of epochs; 0: at each",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="where models compute: `auto`, `cpu`, or `cuda`, which refuses to fall back to the processor",
    )
    engine: Literal["auto", "openvino", "torch"] = Field(
        default="auto",
        description="what computes predictions: `openvino`, `torch`, or `auto`, which is OpenVINO on a processor and "
        "torch on a GPU",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="processor threads of one training run or serving engine; default: all",
    )

    @field_validator("data_dir", "base_models_dir")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        return folder.expanduser().absolute() if folder else None

    @field_validator("data_dir")
    @classmethod
    def _fit_for_urls(cls, folder: Path) -> Path:
        """Of the embedded database and broker, which would be looked for elsewhere."""
        if set("#?%") & set(str(folder)):
            raise ValueError("must have no #, ? or % in its path; choose another folder")
        return folder

    @field_validator("extra_base_models", "cors_origins", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(
                r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?", origin
            ):
                raise ValueError("must be origins as browsers send them, such as https://app.example:8443, or `*`")
            if re.fullmatch(r"https:.*:443|http:.*:80", origin):
                raise ValueError(f"{origin} is never sent: browsers leave out the port that is usual; do so too")
        return origins

    @field_validator("root_path")
    @classmethod
    def _known_path(cls, path: str) -> str:
        if not re.fullmatch(r"(/(?!\.+(/|$))[A-Za-z0-9._~-]+)*/?", path):
            words = "must be a path such as /classiglot, of letters, digits and `. _ ~ -` between slashes, no part of "
            raise ValueError(f"{words}dots alone")
        return path.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if url and url.startswith(("postgres://", "postgresql://")):  # what hosting panels hand out
            url = "postgresql+psycopg://" + url.split("://", 1)[1]
        if url and not url.startswith(("postgresql+psycopg://", "sqlite:///")):
            raise ValueError("must start with postgresql:// or sqlite:///")
        try:
            _ = urlsplit("//" + (url or "").partition("://")[2].rpartition("@")[2]).port
        except ValueError:
            raise ValueError("must name its port as a number up to 65535, or none for 5432") from None
        return url

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, url: str | None) -> str | None:
        if url and not url.startswith(("redis://", "rediss://", "redis+socket://")):
            raise ValueError("must start with redis://, rediss:// or redis+socket://")
        return url

    @field_validator("artifacts_url")
    @classmethod
    def _known_store(cls, url: str | None) -> str | None:
        if url and "://" in url and not url.startswith("file:///") and not re.fullmatch(BUCKET_URL, url):
            raise ValueError(
                "must be a folder, a URL such as file:///srv/models, or s3://bucket/prefix; keys are in "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, another server than AWS in AWS_ENDPOINT_URL"
            )
        return url

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address that is listened on."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def sql_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'classiglot.sqlite3'}"

    @property
    def bucket_url(self) -> str | None:
        return self.artifacts_url if self.artifacts_url and self.artifacts_url.startswith("s3://") else None

    @property
    def artifacts_dir(self) -> Path:
        """Of a bucket: where copies of it are, and what a training run reads and writes. Never where a folder of
        artifacts was before, of which nothing may leave to make room."""
        if self.bucket_url:
            return self.data_dir / "copies"
        if self.artifacts_url is None:
            return self.data_dir / "artifacts"
        is_url = self.artifacts_url.startswith("file://")
        return (
            Path(unquote(urlsplit(self.artifacts_url).path) if is_url else self.artifacts_url).expanduser().absolute()
        )

    @property
    def broker_socket(self) -> Path:
        return self.data_dir / "broker" / "broker.sock"

    @property
    def queue_url(self) -> str:
        """Where the broker answers: the operator's, or the socket of our own."""
        return self.broker_url or f"redis+socket://{self.broker_socket}"

    @property
    def cache_dir(self) -> Path:
        """Base models as checkpoints. What comes from an installed package is unpacked again when it is needed; what
        `classiglot fetch` had to convert has to be fetched again. Safe to delete while nothing runs."""
        return self.data_dir / "cache"


def make_data_dir(folder: Path) -> None:
    """Raises: SettingsInvalid when it cannot be made, or written to."""
    make_folder(folder, "choose another folder with --data-dir or DATA_DIR")


def make_folder(folder: Path, advice: str) -> None:
    """Raises: SettingsInvalid with the advice when it cannot be made, or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fault = None if os.access(folder, os.W_OK | os.X_OK) else "it may not be written to"
    except OSError as error:
        fault = error.strerror
    if fault:
        raise SettingsInvalid(f"{folder} cannot be used ({fault}); {advice}")


def read_settings(**overrides: object) -> Settings:
    """The settings of this process: `overrides` (from the command line) before the environment.

    Raises: SettingsInvalid with one line for each variable that is wrong.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # checked by pydantic just here
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        ]
        raise SettingsInvalid("these settings cannot be used; " + "; ".join(lines)) from None
