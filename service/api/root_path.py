"""The path under which a proxy shows the service, before every path of a request's scope, as ASGI has it."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import SettingsInvalid


class RootPath:
    """Pure ASGI. Some proxies take the path away before they pass a request on, some leave it: both are fine."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app, self.root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["root_path"] = self.root_path
            if not f"{scope['path']}/".startswith(f"{self.root_path}/"):
                scope["path"] = self.root_path + scope["path"]
        await self.app(scope, receive, send)


def must_be_no_route(root_path: str, routes: Iterable[BaseRoute]) -> None:
    """Else nobody could tell whether a proxy has left it. Raises: SettingsInvalid."""
    ours = {route.path.split("/")[1] for route in routes if isinstance(route, Route | Mount)}
    if root_path and root_path.split("/")[1] in ours:
        raise SettingsInvalid(f"ROOT_PATH is {root_path}, where the service has a path of its own; choose another")
