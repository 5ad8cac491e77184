"""The door of every route: which scope it asks for, and whose data it then sees.

A route learns its project from nothing but the `Access` that its guard gives it, so none can forget to ask.
"""

import re
from base64 import b64decode
from ipaddress import IPv6Network, ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPBase
from starlette.concurrency import run_in_threadpool

from service.access.rates import Count, too_many
from service.access.scopes import OPEN, SCOPES, Access, Scope
from service.api.context import Context, In
from service.api.following import Credentials
from service.api.observe import MARKS, RATE_HEADERS
from service.api.problems import responses
from service.errors import Unauthenticated
from service.logs import tell_with_each_line

REFUSALS = responses(401, 403, 429)
# Probes of load balancers have no key. The document and its page tell no more than the public source does.
OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
OF_PROXIES = frozenset({b"forwarded", b"via", b"x-real-ip"})  # headers, beside x-forwarded-…, that only they send

_bearer = HTTPBearer(scheme_name="bearer", description="`Authorization: Bearer <key>`", auto_error=False)
_header = APIKeyHeader(name="X-API-Key", scheme_name="header", auto_error=False)
_basic = HTTPBase(
    scheme="basic",
    scheme_name="basic",
    description="the key as password, with any user name: what a browser asks its user for",
    auto_error=False,
)


class Guard:
    """A dependency that lets in whoever has any of these scopes. The first names the class of its rate limit.

    What it depends on beside the request is for the OpenAPI document: `_key_of` reads the key."""

    def __init__(self, *any_of: Scope) -> None:
        self.any_of = any_of

    async def __call__(
        self, request: Request, context: In, _b: Annotated[Any, Depends(_bearer)], _h: Annotated[Any, Depends(_header)]
    ) -> Access:
        return await self.admit(request, context)

    async def admit(self, request: Request, context: Context) -> Access:
        """Raises: Unauthenticated, Forbidden, RateLimited, Unavailable."""
        marks = request.scope[MARKS]
        if self not in marks:  # else `admit_early` was here before the body was read
            if context.gate.is_open and _is_local(request):  # no thread, which would cost more than the answer
                marks[self] = OPEN
            else:
                marks[self] = await run_in_threadpool(self._admit, request, context)
        access: Access = marks[self]
        tell_with_each_line(project=access.project, key_id=access.key_id)
        return access

    def _admit(self, request: Request, context: Context) -> Access:
        access = _identify(request, context)
        access.must_allow(*self.any_of)
        if access.key_id is not None:
            kind = self.any_of[0]
            count = context.rates.count(access.key_id, kind)
            if count is not None:
                request.scope[MARKS][RATE_HEADERS] = _rate_headers(count, kind)
                if not count.allowed:
                    raise too_many(count, kind)
        return access


class PageGuard(Guard):
    """Of routes that only read: a browser may open them. Says so in the OpenAPI document; `_key_of` goes by the method,
    and `check_every_route` holds the two together."""

    async def __call__(
        self,
        request: Request,
        context: In,
        _b: Annotated[Any, Depends(_bearer)],
        _h: Annotated[Any, Depends(_header)],
        _p: Annotated[Any, Depends(_basic)] = None,
    ) -> Access:
        return await self.admit(request, context)


Reader = Annotated[Access, Security(PageGuard("read"), scopes=["read"])]
Trainer = Annotated[Access, Security(Guard("train"), scopes=["train"])]
Predictor = Annotated[Access, Security(Guard("predict"), scopes=["predict"])]
Operator = Annotated[Access, Security(PageGuard("admin"), scopes=["admin"])]
Anyone = Annotated[Access, Security(PageGuard(*SCOPES))]  # with a key, whatever it allows


def guard_of(dependant: Dependant) -> Guard | None:
    """The guard that a route's parameters name."""
    return next((part.call for part in dependant.dependencies if isinstance(part.call, Guard)), None)


def check_every_route(router: APIRouter) -> None:
    """A route without a guard, or with one for other methods, must not even start. Raises: RuntimeError."""
    for route in router.routes:
        if not isinstance(route, APIRoute) or route.path in OPEN_PATHS:
            continue
        guard = guard_of(route.dependant)
        if guard is None:
            raise RuntimeError(f"{route.path} has no guard: give it a parameter of type Reader, Trainer, …")
        if isinstance(guard, PageGuard) != (route.methods == {"GET"}):
            raise RuntimeError(f"{route.path}: what a browser may open is read by GET alone; Trainer is for the rest")


async def admit_early(request: Request, dependant: Dependant) -> None:
    """As the route's guard, but before its body is read, which FastAPI does before all dependencies."""
    if guard := guard_of(dependant):
        await guard.admit(request, request.app.state.context)


def credentials_of(request: Request) -> Credentials:
    return Credentials(_key_of(request), _is_local(request))


def _identify(request: Request, context: Context) -> Access:
    brought = credentials_of(request)
    try:
        return context.gate.admit(brought.key, is_local=brought.is_local)
    except Unauthenticated:
        if brought.key is not None:
            context.rates.count_wrong_key(_network_of(request))
        raise


def _key_of(request: Request) -> str | None:
    """A browser sends a password that it knows by itself, also with what another site's page has it ask: where that
    could change something, a password is no key. (HEAD comes as GET.)"""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    if key := request.headers.get("x-api-key"):  # a password beside it may be meant for a proxy
        return key
    return _password_of(credentials) if scheme.lower() == "basic" and request.method == "GET" else None


def _password_of(credentials: str) -> str | None:
    """Of a user's name and password as Basic has them; None where they are none."""
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2].decode() or None
    except ValueError:
        return None


def _is_local(request: Request) -> bool:
    """Whether the request names this machine, as its own programs do. A web page that the machine's browser shows can
    reach us too, but under its own name (DNS rebinding) or with its own origin; and so can a proxy, which names us as
    it likes, but mostly says that it is one."""
    if any(name in OF_PROXIES or name.startswith(b"x-forwarded-") for name, _ in request.scope["headers"]):
        return False
    origin = request.headers.get("origin")
    return _names_us(request.headers.get("host", "")) and (origin is None or _names_us(origin.partition("://")[2]))


def _names_us(authority: str) -> bool:
    name = re.sub(r":\d*$", "", authority).lower()
    if name in ("localhost", "127.0.0.1"):  # nearly always, and with no address to be made of it
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _network_of(request: Request) -> str:
    """The client's address; of IPv6 the network, in which a client may choose its address freely."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped:  # a socket that listens on `::` shows IPv4's clients so
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), 64), strict=False))


def _rate_headers(count: Count, kind: str) -> list[tuple[bytes, bytes]]:
    """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
    policy = f'"{kind}";q={count.limit};w={count.window}'
    state = f'"{kind}";r={count.remaining};t={count.reset}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]
