"""Joins the parts of the HTTP service, opens them at its start and closes them at its end."""

import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.access.gate import Gate
from service.access.rates import RateLimits
from service.api import datasets, events, jobs, models, predict, predict_lines, problems, system
from service.api.body_limit import BodyLimit
from service.api.context import Context
from service.api.following import Following
from service.api.guard import check_every_route
from service.api.head import HeadAsGet
from service.api.observe import Observer
from service.api.origins import Origins
from service.api.query import saying_what_may_be_empty
from service.api.root_path import RootPath, must_be_no_route
from service.api.text_lines import MEDIA_TYPES
from service.errors import ClassiglotError
from service.inference.engine import Engine
from service.inference.runtime import Runtime
from service.inference.shelf import Shelf
from service.jobs.queue import Doorbell, make_celery
from service.jobs.sweep import Sweeper
from service.logs import get_logger
from service.models.versions import ModelCatalog
from service.settings import Settings
from service.store.database import Database
from service.store.installation import check_same_installation
from service.store.migrate import migrated
from service.store.remote_artifacts import open_artifacts

log = get_logger(__name__)
DESCRIPTION = "Fine-tunes and serves text classifiers in 100+ languages from a few hundred labelled examples."
RESOURCES = (datasets, jobs, events, models, predict_lines, predict, system)
DATABASE_PATIENCE = 3.5  # seconds: readiness turns within five


def create_app(settings: Settings, closing: threading.Event | None = None) -> FastAPI:
    """The ASGI application. Nothing is opened before its lifespan begins; `closing` is set when its end is near.

    Raises: SettingsInvalid.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            context = open_context(settings, closing or threading.Event())
        except ClassiglotError as error:
            log.critical("cannot_start", error=error.message)  # what uvicorn makes of it is cut before the message
            raise
        sweeper = Sweeper(settings, context.database, context.artifacts, context.doorbell)
        sweeper.start()
        app.state.context = context
        threading.Thread(target=context.runtime.start, name="runtime", daemon=True).start()
        try:
            yield
        finally:
            sweeper.stop()
            close_context(context)

    app = FastAPIOffline(  # /docs without a content network, which a closed installation does not reach
        title="Classiglot",
        description=DESCRIPTION,
        version=version("classiglot"),
        lifespan=lifespan,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call their functions
        redirect_slashes=False,  # by `problems`, in its own way
    )
    app.openapi = saying_what_may_be_empty(app.openapi)  # type: ignore[method-assign]  # FastAPI's own way
    app.add_middleware(HeadAsGet)
    app.add_middleware(
        BodyLimit, uploads=settings.max_upload_bytes, others=settings.max_request_bytes, streamed=MEDIA_TYPES
    )
    app.add_middleware(Observer)
    if settings.cors_origins:  # around Observer, whose answer to a crash a page may read too
        app.add_middleware(Origins, allowed=settings.cors_origins)
    app.add_middleware(RootPath, root_path=settings.root_path)
    problems.install(app)
    for resource in RESOURCES:
        app.include_router(resource.router)
        check_every_route(resource.router)
    must_be_no_route(settings.root_path, [*app.routes, *(route for each in RESOURCES for route in each.router.routes)])
    return app


def open_context(settings: Settings, closing: threading.Event) -> Context:
    """Opens database, artifacts, queue and engine. Raises: SettingsInvalid, Unavailable."""
    tempfile.gettempdir()  # chosen for good now: Python would pass over one that is full by then
    artifacts = open_artifacts(settings)
    with migrated(settings.sql_url) as patient:  # waits for whoever else does that now
        check_same_installation(patient, artifacts)
    database = Database(settings.sql_url, DATABASE_PATIENCE)
    catalog = ModelCatalog(database, artifacts)
    engine = Engine(settings.max_batch_tokens, settings.max_queued_tokens, settings.max_wait_seconds)
    engine.watch()
    runtime = Runtime(settings, artifacts)
    gate = Gate(settings, database)
    return Context(
        settings=settings,
        database=database,
        artifacts=artifacts,
        doorbell=Doorbell(make_celery(settings)),
        catalog=catalog,
        engine=engine,
        shelf=Shelf(catalog.resolve, runtime.load, engine, settings.model_memory_bytes),
        runtime=runtime,
        closing=closing,
        gate=gate,
        rates=RateLimits(settings),
        following=Following(database, gate, closing),
    )


def close_context(context: Context) -> None:
    context.engine.close()
    context.doorbell.close()
    context.database.close()
