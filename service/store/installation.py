"""Which database and which artifacts belong together.

A sweep removes folders that no row knows of. Beside a database that is empty, or another's, that would be all of them.
"""

from sqlalchemy import select

from service.errors import SettingsInvalid
from service.store.artifacts import OWNER, ArtifactStore
from service.store.database import Database
from service.store.tables import installation


def check_same_installation(database: Database, artifacts: ArtifactStore) -> None:
    """Before anything is swept. Artifacts that belong to no database yet belong to this one from now on.

    Raises: SettingsInvalid where they are another's.
    """
    with database.read() as tx:
        own: str = tx.execute(select(installation.c.id)).scalar_one()
    owner = artifacts.owned_by(own)
    if owner != own:
        raise SettingsInvalid(
            f"the artifacts in {artifacts.place} belong to another database (installation {owner}, this one is {own}); "
            "correct DATABASE_URL, DATA_DIR or ARTIFACTS_URL. If that database is gone for good, empty the folder, or "
            f"delete {artifacts.place}/{OWNER}, after which what is in it is removed within a day as nobody's"
        )
