"""Keys as a test needs them: the headers to send."""

from service.access.keys import create_key
from service.access.scopes import SCOPES
from service.store.database import Database

Headers = dict[str, str]


def bearer(database: Database, *scopes: str, project: str = "default", days: float | None = None) -> Headers:
    """The headers of a new key; without `scopes`, one with each of them but `admin`."""
    asked = scopes or tuple(scope for scope in SCOPES if scope != "admin")
    return {"Authorization": f"Bearer {create_key(database, 'test', asked, project, days).text}"}


def id_of(headers: Headers) -> str:
    return headers["Authorization"].removeprefix("Bearer ").split(".")[0]
