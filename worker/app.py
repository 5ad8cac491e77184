"""The worker process: Celery that waits for the doorbell, and a sweeper. No torch in it."""

import os
import secrets
import socket
import threading
import warnings

from celery.platforms import SecurityWarning
from celery.signals import worker_shutting_down

from service.jobs.embedded_broker import tell_of_no_broker
from service.jobs.queue import Doorbell, make_celery
from service.jobs.sweep import Sweeper
from service.logs import configure_logs, get_logger
from service.settings import Settings
from service.store.database import Database
from service.store.installation import check_same_installation
from service.store.migrate import migrate
from service.store.remote_artifacts import open_artifacts
from service.versions import check_packages
from worker.supervise import Supervisor
from worker.tasks import register

log = get_logger(__name__)
END_SECONDS = 27.0  # from the wish to stop; a run that heeds nothing is ended after 20, whoever waits gives 30


def run_worker(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT; runs under way are then checkpointed and handed back. Raises: SettingsInvalid."""
    configure_logs(settings.log_level, process="worker")
    check_packages()
    tell_of_no_broker(settings)
    _close_standard_output()
    warnings.simplefilter("ignore", SecurityWarning)  # about root and pickle: nothing but JSON is accepted here
    database = Database(settings.sql_url)
    migrate(database)
    artifacts = open_artifacts(settings)
    check_same_installation(database, artifacts)
    app = make_celery(settings)
    stopping = threading.Event()
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    supervisor = Supervisor(settings, database, artifacts, owner, stopping)
    register(app, supervisor)

    def begin_to_stop(**_: object) -> None:
        log.info("worker_stopping")
        stopping.set()
        last_resort = threading.Timer(END_SECONDS, _end)
        last_resort.daemon = True
        last_resort.start()
        supervisor.processes.close()

    worker_shutting_down.connect(begin_to_stop, weak=False)
    doorbell = Doorbell(make_celery(settings))
    sweeper = Sweeper(settings, database, artifacts, doorbell)
    sweeper.start()
    if settings.spare_run:
        supervisor.processes.keep_one_ready()
    threading.Thread(target=doorbell.tell_of_old_server, name="broker-version", daemon=True).start()
    log.info("worker_started", owner=owner, concurrency=settings.worker_concurrency)
    try:
        app.worker_main(_arguments(settings))
    finally:
        sweeper.stop()
        doorbell.close()
        database.close()


def _close_standard_output() -> None:
    """Celery says there, in words of its own, that it stops. Logs are JSON, on standard error, and tell of it too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _end() -> None:
    """Celery waits for ever for a broker that neither answers nor refuses. The jobs table knows all by now."""
    log.warning("worker_ended", why="it did not stop in time; the broker may hang")
    os._exit(0)


def _arguments(settings: Settings) -> list[str]:
    concurrency = str(settings.worker_concurrency)
    options = {"--pool": "threads", "--concurrency": concurrency, "--loglevel": settings.log_level}
    flags = ["--without-gossip", "--without-mingle"]
    return ["--quiet", "worker", *flags, *(part for option in options.items() for part in option)]
