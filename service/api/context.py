"""What the routes work with, joined by `service.app` and handed to them by FastAPI."""

import threading
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from service.access.gate import Gate
from service.access.rates import RateLimits
from service.api.following import Following
from service.inference.engine import Engine
from service.inference.runtime import Runtime
from service.inference.shelf import Shelf
from service.jobs.queue import Doorbell
from service.models.versions import ModelCatalog
from service.settings import Settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    doorbell: Doorbell
    catalog: ModelCatalog
    engine: Engine
    shelf: Shelf
    runtime: Runtime
    closing: threading.Event
    gate: Gate
    rates: RateLimits
    following: Following


async def _get_context(request: Request) -> Context:  # async, or FastAPI would call a thread for it
    return cast(Context, request.app.state.context)


In = Annotated[Context, Depends(_get_context)]
