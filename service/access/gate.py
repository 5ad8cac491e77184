"""Who may come in.

Keys are needed once one was ever made, and wherever more than this machine can reach the service. A key that expires
or is revoked never opens what it had closed: that takes `classiglot keys reset`.
"""

import time
from collections import OrderedDict
from hashlib import sha256
from threading import Lock

from service.access.keys import find_key
from service.access.scopes import OPEN, Access
from service.errors import SettingsInvalid, Unauthenticated, Unavailable
from service.settings import Settings
from service.store import keys as key_rows
from service.store.database import Database
from service.store.migrate import migrated
from service.store.records import KeyRecord

FRESH = 0.5  # seconds for which a key that was good is not looked up again: the longest a revoked one lives
STALE = 600.0  # the same while the database is away: whoever came in goes on being served
MOST_REMEMBERED = 10_000


class Gate:
    """Turns what a request brings into what it may do. Use from any thread."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._always = not settings.is_loopback
        self._needed: tuple[float, bool] | None = None
        self._known: OrderedDict[bytes, tuple[float, KeyRecord]] = OrderedDict()  # never the key's own text
        self._lock = Lock()

    def admit(self, key: str | None, *, is_local: bool) -> Access:
        """`is_local`: the request comes from this machine and means to. Raises: Unauthenticated, Unavailable."""
        if not (self._always or self.keys_needed()):
            if not is_local:
                raise _no_key(
                    "without one this service only answers programs of its own machine that call it localhost"
                )
            return OPEN
        if key is None:
            raise _no_key("send one as `Authorization: Bearer <key>`")
        record = self._look_up(key)
        if record is None:
            raise _wrong_key()
        return Access(record.project, frozenset(record.scopes), record.id)

    @property
    def is_open(self) -> bool:
        """Whether it is fresh knowledge, for which no database has to be asked, that local requests need no key."""
        return not self._always and self._needed_afresh() is False

    def _needed_afresh(self) -> bool | None:
        """What `keys_needed` said last; None where that is too long ago, or never was."""
        known = self._needed
        return known[1] if known and time.monotonic() - known[0] < FRESH else None

    def keys_needed(self) -> bool:
        """Whether a key was ever made. Raises: Unavailable where that was never known."""
        if (needed := self._needed_afresh()) is not None:
            return needed
        known = self._needed
        try:
            with self._database.read() as tx:
                needed = key_rows.any_made(tx)
        except Unavailable:
            if known is None:
                raise
            return known[1]
        self._needed = time.monotonic(), needed
        return needed

    def _look_up(self, key: str) -> KeyRecord | None:
        digest = sha256(key.encode(errors="replace")).digest()
        looked_up, record = self._known.get(digest, (0.0, None))
        age = time.monotonic() - looked_up
        if record and age < FRESH:
            return record
        try:
            found = find_key(self._database, key)
        except Unavailable:
            if record and age < STALE and (record.expires_at is None or record.expires_at > time.time()):
                return record
            raise
        self._remember(digest, found)
        return found

    def _remember(self, digest: bytes, record: KeyRecord | None) -> None:
        with self._lock:
            self._known.pop(digest, None)
            if record:  # wrong ones are not kept: there is no end of them
                self._known[digest] = time.monotonic(), record
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)


def must_have_key(settings: Settings) -> None:
    """Before a service listens. Raises: SettingsInvalid where others could reach it and nobody has a key."""
    if settings.is_loopback:
        return
    with migrated(settings.sql_url) as database, database.read() as tx:
        if key_rows.any_live(tx):
            return
    where = "" if settings.database_url else f" --data-dir {settings.data_dir}"
    raise SettingsInvalid(
        f"HOST is {settings.host}, which other machines can reach, and there is no API key that is good; make one with "
        f"`classiglot keys create --name <whose> --scopes admin{where}`, or listen on 127.0.0.1"
    )


def _no_key(what: str) -> Unauthenticated:
    return Unauthenticated(
        f"this needs an API key: {what}; the operator makes one with `classiglot keys create`", code="key_missing"
    )


def _wrong_key() -> Unauthenticated:
    return Unauthenticated(
        "this API key is not known here, has expired or was revoked; check that it was copied whole, "
        "or ask the operator for another (classiglot keys create)"
    )
