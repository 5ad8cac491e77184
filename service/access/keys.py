"""API keys: made once, shown once, kept as a sum.

A key is `<id>.<secret>`: the id finds the row, the secret (32 random bytes) proves the right. SHA-256 is enough for
what nobody can guess; slow sums are for passwords.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from service.access.scopes import SCOPES
from service.errors import NotFound, Unacceptable
from service.store import keys as key_rows
from service.store.database import Database
from service.store.ids import new_id
from service.store.records import KeyRecord

PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_FORM = re.compile(r"(cgk_[0-9a-z]{26})\.([A-Za-z0-9_-]{43})")
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class NewKey:
    """`text` is what its owner sends; it cannot be had a second time."""

    text: str
    record: KeyRecord


def create_key(
    database: Database, name: str, scopes: Sequence[str], project: str, expires_in_days: float | None = None
) -> NewKey:
    """Raises: Unacceptable."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Unacceptable(f"unknown scopes: {', '.join(unknown) or 'none given'}; choose from {', '.join(SCOPES)}")
    if not PROJECT.fullmatch(project):
        raise Unacceptable("a project's name has up to 40 of a-z, 0-9, - and _, and starts with a letter or a digit")
    if not name.strip() or len(name) > 100 or not name.isprintable():  # a terminal obeys some that are not
        raise Unacceptable("a key's name has 1 to 100 characters, all of them printable; say whose it is")
    if expires_in_days is not None and not 0 < expires_in_days < 36_500:
        raise Unacceptable("a key's lifetime is more than 0 and less than 36500 days; leave it out for one without end")
    secret = secrets.token_urlsafe(32)
    values = {
        "id": new_id("cgk"),
        "project": project,
        "name": name,
        "scopes": [scope for scope in SCOPES if scope in scopes],
        "secret_sha256": _sum(secret),
    }
    with database.write() as tx:
        record = key_rows.add(tx, values, expires_in_days * 86_400 if expires_in_days else None)
    return NewKey(f"{record.id}.{secret}", record)


def find_key(database: Database, text: str) -> KeyRecord | None:
    """The live key that this is; None for any other text. Takes as long for a wrong id as for a wrong secret."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    with database.read() as tx:
        record = key_rows.get(tx, form[1])
    right = hmac.compare_digest(_sum(form[2]), record.secret_sha256 if record else _NOBODY)
    return record if record and right and record.live else None


def list_keys(database: Database) -> list[KeyRecord]:
    with database.read() as tx:
        return key_rows.all_keys(tx)


def revoke_key(database: Database, key_id: str) -> None:
    """Raises: NotFound."""
    with database.write() as tx:
        if not key_rows.revoke(tx, key_id):
            raise NotFound("no key that is not revoked yet has this id; `classiglot keys list` shows them")


def remove_all_keys(database: Database) -> int:
    """As if none had ever been made. Returns how many there were."""
    with database.write() as tx:
        return key_rows.remove_all(tx)


def _sum(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
