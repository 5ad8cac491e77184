"""`classiglot keys`: who may use a service."""

import argparse
import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from service.access.scopes import SCOPES
from service.settings import make_data_dir, read_settings
from service.store.records import DEFAULT_PROJECT, KeyRecord

if TYPE_CHECKING:  # brought in by the commands that need it: SQLAlchemy is slow to load
    from service.store.database import Database


def add_key_commands(parser: argparse.ArgumentParser, data_dir: argparse.ArgumentParser) -> None:
    """`data_dir`: the parser of the option that each of them has."""
    commands = parser.add_subparsers(required=True, metavar="action")
    create = commands.add_parser("create", help="make a key and print it, once", parents=[data_dir])
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--scopes", required=True, help=f"some of {','.join(SCOPES)}, separated by commas")
    create.add_argument("--project", default=DEFAULT_PROJECT, help="whose data it sees; a new name is a new project")
    create.add_argument("--expires-in-days", type=float, help="default: it does not expire")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="show every key, without its secret", parents=[data_dir])
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="end a key, within a second in every process", parents=[data_dir])
    revoke.add_argument("id", help="as `classiglot keys list` shows it")
    revoke.set_defaults(run=_revoke)
    reset = commands.add_parser(
        "reset", help="remove every key: on loopback the service then needs none again", parents=[data_dir]
    )
    reset.set_defaults(run=_reset)


def _database(options: argparse.Namespace) -> "AbstractContextManager[Database]":
    from service.store.migrate import migrated

    settings = read_settings(data_dir=options.data_dir)
    if settings.database_url is None:
        make_data_dir(settings.data_dir)
    return migrated(settings.sql_url)


def _create(options: argparse.Namespace) -> int:
    from service.access import keys

    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    with _database(options) as database:
        made = keys.create_key(database, options.name, scopes, options.project, options.expires_in_days)
    print(made.text)  # alone on standard output, so that a script can keep it
    print(
        f"This key ({made.record.id}, project {made.record.project}) is not shown again. "
        "Send it as `Authorization: Bearer <key>`; every request needs a key from now on.",
        file=sys.stderr,
    )
    return 0


def _list(options: argparse.Namespace) -> int:
    from service.access import keys

    with _database(options) as database:
        found = keys.list_keys(database)
    rows = [("ID", "PROJECT", "SCOPES", "STATE", "NAME")]
    rows += [(key.id, key.project, ",".join(key.scopes), _state(key), key.name) for key in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _state(key: KeyRecord) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "live"
    day = time.strftime("%Y-%m-%d", time.gmtime(key.expires_at))
    return f"live until {day}" if key.live else f"expired {day}"


def _revoke(options: argparse.Namespace) -> int:
    from service.access import keys

    with _database(options) as database:
        keys.revoke_key(database, options.id)
    print(f"{options.id} is revoked")
    return 0


def _reset(options: argparse.Namespace) -> int:
    from service.access import keys

    with _database(options) as database:
        print(f"keys removed: {keys.remove_all_keys(database)}; on loopback none is needed now")
    return 0
