"""What one project may have of the operator's machines."""

from service.errors import Conflict, QuotaExceeded
from service.settings import Settings
from service.store.records import Usage

JOB_SECONDS = 30  # after which a job may have ended; the quotas of models and bytes wait for a person


def check_room_for_job(used: Usage, settings: Settings) -> None:
    """A job takes a place among the unfinished ones, and its model one among the models.

    Raises: QuotaExceeded (429), where waiting helps; Conflict (409), where only deleting does.
    """
    if settings.quota_jobs is not None and used.jobs >= settings.quota_jobs:
        raise QuotaExceeded(
            f"this project has {used.jobs} jobs queued or running and may have {settings.quota_jobs} (QUOTA_JOBS); "
            "wait for one to end, or cancel one",
            retry_after=JOB_SECONDS,
        )
    if settings.quota_models is not None and used.models + used.jobs >= settings.quota_models:
        raise _full(
            f"this project has {used.models} models and {used.jobs} jobs that will make one, "
            f"and may have {settings.quota_models} (QUOTA_MODELS); delete a model first"
        )
    check_room_for_bytes(used, 1, settings)  # how many it will be shows when it is published


def check_room_for_bytes(used: Usage, more: int, settings: Settings) -> None:
    """Raises: Conflict (409)."""
    if settings.quota_bytes is not None and used.bytes + more > settings.quota_bytes:
        raise _full(
            f"this project keeps {used.bytes} bytes of data sets and models and may keep {settings.quota_bytes} "
            "(QUOTA_BYTES); delete a data set or a model first"
        )


def _full(message: str) -> Conflict:
    return Conflict(message, code="quota_exceeded")
