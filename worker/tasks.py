"""The one task. Thin: a message wakes the supervisor, and the jobs table says what there is to do."""

from celery import Celery

from service.jobs.queue import TASK
from service.logs import get_logger
from worker.supervise import Supervisor

log = get_logger(__name__)


def register(app: Celery, supervisor: Supervisor) -> None:
    @app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]  # celery has no types
    def train(job_id: str) -> None:
        log.debug("rung", job_id=str(job_id)[:60])
        supervisor.run_queued_jobs()
