"""The doorbell: Celery over the Redis protocol. The jobs table is the truth; a message only wakes a worker.

The only link between service and worker is `TASK` and a job's id.
"""

from concurrent.futures import Future, ThreadPoolExecutor

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from service.errors import Unavailable
from service.jobs import transport
from service.logs import get_logger
from service.settings import Settings
from service.versions import old_server

log = get_logger(__name__)
TASK = "classiglot.train"
QUEUE = "classiglot.jobs"
MOST_PENDING_RINGS = 100


def make_celery(settings: Settings) -> Celery:
    """The Celery application of every process; a client with other settings would undo the worker's.

    Early acknowledgement and no prefetch, because recovery is the lease's job: with late acknowledgement
    a noticed TCP reset starts a second copy at once. No result backend: the jobs table has the results.
    Every network call has a time-out, because kombu's default is to wait for ever.
    """
    transport.install()
    app = Celery("classiglot", broker=settings.queue_url, set_as_current=False)
    app.conf.update(
        task_acks_late=False,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        result_backend=None,
        task_track_started=False,
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_default_queue=QUEUE,
        task_create_missing_queues=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 3600,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": not settings.queue_url.startswith("redis+socket"),
            "health_check_interval": 10,
            "global_keyprefix": "classiglot:",
        },
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_max_tasks_per_child=None,
        worker_send_task_events=False,
        enable_utc=True,
    )
    return app


class Doorbell:
    """Rings for workers. A ring that fails is no loss: the sweeper rings again."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="doorbell")
        self._pending = 0

    def ring(self, job_id: str) -> bool:
        """Publishes the job's id; returns whether the broker took it (it may take 5 s to say no)."""
        try:
            self._celery.send_task(TASK, args=[job_id], queue=QUEUE, ignore_result=True)
        except (OperationalError, OSError) as error:
            log.warning("ring_failed", job_id=job_id, error=str(error))
            return False
        return True

    def ring_soon(self, job_id: str) -> None:
        """The same in a thread of its own, so that a request never waits for the broker."""
        if self._pending < MOST_PENDING_RINGS:
            self._pending += 1
            self._thread.submit(self.ring, job_id).add_done_callback(self._count_down)

    def _count_down(self, done: Future[bool]) -> None:
        self._pending -= 1
        if not done.cancelled() and (error := done.exception()):  # a bug, which nobody else would see
            log.error("ring_crashed", error=type(error).__name__, exc_info=error)

    def waiting(self) -> int:
        """Messages that no worker has taken yet. Raises: Unavailable."""
        with self._celery.connection_for_read() as connection:
            try:
                # not passive: kombu's look whether a list exists forgets the key prefix
                return int(connection.default_channel.queue_declare(queue=QUEUE).message_count)
            except _away_or_unwilling(connection) as error:
                message = f"the broker does not say what waits there: {error}"
                raise Unavailable(message, code="broker_unavailable", retry_after=5) from error

    def tell_of_old_server(self) -> None:
        """Logs a warning where the broker has known holes: no refusal, for distributions mend old versions too.

        For a thread of its own: it waits as long as the broker does.
        """
        with self._celery.connection_for_read() as connection:
            try:
                old = old_server(connection.default_channel.client.info("server"))
            except _away_or_unwilling(connection):
                return
        if old:
            log.warning("broker_old", server=old, advice="it has known security holes; upgrade it")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._celery.close()


def _away_or_unwilling(connection: Connection) -> tuple[type[Exception], ...]:
    """What kombu raises where it cannot connect, and what its client does later: the server loads its data, lacks
    memory, or forbids the command."""
    return (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors)
