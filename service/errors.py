"""The error tree. Every error carries a stable code and a status; one place (`service/api/problems.py`)
turns them into HTTP, and this file knows no web framework.

    ClassiglotError
    ├── Unreadable          400  the body cannot be read at all
    ├── Unauthenticated     401  no key, or none that is good
    ├── Forbidden           403  a good key without the scope
    ├── NotFound            404  no such data set, job, model, report
    ├── Conflict            409  understood, but not in this state
    ├── TooLarge            413  over a limit that the operator set
    ├── UnsupportedMedia    415  a content type this route does not read
    ├── Unacceptable        422  understood, but not acceptable
    │   ├── DatasetInvalid  422  complaints that name split, row and field
    │   └── BaseModelUnavailable  a base model that cannot be had here
    ├── Overloaded          429  no room in the queue now
    │   ├── RateLimited     429  too many requests in this window
    │   └── QuotaExceeded   429  the project has all it may have for now
    ├── ClientLeft          499  nobody is there to read the answer; for log and metrics
    ├── Unavailable         503  not ready, or a dependency is down
    │   ├── DeviceMissing   503  a GPU was asked for and is not there
    │   ├── DeviceLost      503  a GPU stopped working for this process, which starts again
    │   ├── ModelTooLarge   503  no room for a model in its device's memory
    │   └── DiskFull        503  there is no room to store it; heals when there is
    ├── LeaseLost           ---  another attempt owns the job now: stop, and write nothing more
    ├── ArtifactCorrupt     500  a stored file is not what its manifest says, or its folder is gone
    ├── InferenceFailed     500  the model has no answer to a text
    ├── SettingsInvalid     ---  the process cannot start like this
    └── TrainingFailed      ---  why a job ended as `failed`; never sent as an HTTP status
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Detail:
    """One complaint: where it is and what to do about it. Rows count from 0 as sent, lines of a file from 1."""

    message: str
    split: str | None = None
    row: int | None = None
    field: str | None = None
    line: int | None = None


class ClassiglotError(Exception):
    """The root. `message` is one sentence that tells its reader what to do."""

    status: ClassVar[int] = 500
    code: str = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Sequence[Detail] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = tuple(details)
        self.retry_after = retry_after


class Unreadable(ClassiglotError):
    status = 400
    code = "body_unreadable"


class Unauthenticated(ClassiglotError):
    status = 401
    code = "key_invalid"


class Forbidden(ClassiglotError):
    status = 403
    code = "scope_missing"


class NotFound(ClassiglotError):
    status = 404
    code = "not_found"


class Conflict(ClassiglotError):
    status = 409
    code = "conflict"


class TooLarge(ClassiglotError):
    status = 413
    code = "too_large"


class UnsupportedMedia(ClassiglotError):
    status = 415
    code = "media_type_unsupported"


class Unacceptable(ClassiglotError):
    status = 422
    code = "request_invalid"


class DatasetInvalid(Unacceptable):
    code = "dataset_invalid"


class BaseModelUnavailable(Unacceptable):
    code = "base_model_unavailable"


class Overloaded(ClassiglotError):
    status = 429
    code = "overloaded"


class RateLimited(Overloaded):
    code = "rate_limited"


class QuotaExceeded(Overloaded):
    code = "quota_exceeded"


class ClientLeft(ClassiglotError):
    status = 499
    code = "client_left"


class Unavailable(ClassiglotError):
    status = 503
    code = "unavailable"


class DeviceLost(Unavailable):
    """A GPU's context that is broken stays so for the life of its process: nothing can be computed there any more."""

    code = "device_lost"

    def __init__(self) -> None:
        super().__init__(
            "the GPU stopped working for this process, which starts again by itself within a minute; try again then",
            retry_after=30,
        )


class LeaseLost(ClassiglotError):
    code = "lease_lost"


class ArtifactCorrupt(ClassiglotError):
    code = "artifact_corrupt"


class InferenceFailed(ClassiglotError):
    code = "inference_error"


class DeviceMissing(Unavailable):
    code = "device_missing"


class ModelTooLarge(Unavailable):
    code = "model_too_large"


class DiskFull(Unavailable):
    code = "disk_full"


class SettingsInvalid(ClassiglotError):
    code = "settings_invalid"


class TrainingFailed(ClassiglotError):
    """Ends a job as `failed` with this code; it is not tried again."""

    code = "training_failed"
