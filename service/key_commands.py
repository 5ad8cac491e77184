"""`classiglot keys`: who may use a service."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from service.access.scopes import SCOPES
from service.settings import read_settings
from service.store.records import DEFAULT_PROJECT, KeyRecord

if TYPE_CHECKING:  # brought in by the commands that need it: SQLAlchemy is slow to load
    from service.store.database import Database


def add_key_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="action")
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument("--scopes", required=True, help=f"some of {','.join(SCOPES)}, separated by commas")
    create.add_argument("--project", default=DEFAULT_PROJECT, help="whose data it sees; a new name is a new project")
    create.add_argument("--expires-in-days", type=float, help="default: it does not expire")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="show every key, without its secret")
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="end a key, within a second in every process")
    revoke.add_argument("id", help="as `classiglot keys list` shows it")
    revoke.set_defaults(run=_revoke)
    reset = commands.add_parser("reset", help="remove every key: on loopback the service then needs none again")
    reset.set_defaults(run=_reset)
    for command in (create, listing, revoke, reset):
        command.add_argument("--data-dir", type=Path, help="the service's (DATA_DIR, default ./data)")


def _database(options: argparse.Namespace) -> "Database":
    from service.store.database import Database
    from service.store.migrate import migrate

    database = Database(read_settings(data_dir=options.data_dir).sql_url)
    migrate(database)
    return database


def _create(options: argparse.Namespace) -> int:
    from service.access import keys

    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    made = keys.create_key(_database(options), options.name, scopes, options.project, options.expires_in_days)
    print(made.text)  # alone on standard output, so that a script can keep it
    print(
        f"This key ({made.record.id}, project {made.record.project}) is not shown again. "
        "Send it as `Authorization: Bearer <key>`; every request needs a key from now on.",
        file=sys.stderr,
    )
    return 0


def _list(options: argparse.Namespace) -> int:
    from service.access import keys

    rows = [("ID", "PROJECT", "SCOPES", "STATE", "NAME")]
    rows += [
        (key.id, key.project, ",".join(key.scopes), _state(key), key.name) for key in keys.list_keys(_database(options))
    ]
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

    keys.revoke_key(_database(options), options.id)
    print(f"{options.id} is revoked")
    return 0


def _reset(options: argparse.Namespace) -> int:
    from service.access import keys

    print(f"keys removed: {keys.remove_all_keys(_database(options))}; on loopback none is needed now")
    return 0
