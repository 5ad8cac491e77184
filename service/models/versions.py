"""Versions of a name, and which of them is best."""

import re
from collections.abc import Sequence

from service.errors import NotFound, Unacceptable
from service.store import models as model_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database, Transaction
from service.store.records import ModelRecord, Page, Standing

IDS = "mdl_"  # how they begin; a name may begin so too
_VERSION = re.compile(r"(.+):([1-9][0-9]{0,8})")  # a name has no colon


def choose_best(versions: Sequence[Standing]) -> Standing:
    """The version that answers for a name: the pinned one; else the lowest validation loss among those
    validated on the same split as the newest; of equals, the newest. `versions` are one name's, not empty."""
    for version in versions:
        if version.pinned_at is not None:  # no other of its name is
            return version
    newest = max(versions, key=lambda version: version.version)
    comparable = [version for version in versions if version.val_sha256 == newest.val_sha256]
    return min(comparable, key=lambda version: (version.val_loss, -version.version))


class ModelCatalog:
    """The finished models of this installation, asked for by project."""

    def __init__(self, database: Database, artifacts: ArtifactStore) -> None:
        self._database = database
        self._artifacts = artifacts

    def get(self, project: str, model_id: str) -> tuple[ModelRecord, bool]:
        """The version and whether it is its name's best. Raises: NotFound."""
        with self._database.read() as tx:
            record = model_rows.get(tx, project, model_id)
            versions = model_rows.standings(tx, project, {record.name}) if record else []
        if record is None or not versions:  # it was the name's only one, and was deleted between the two queries
            raise model_not_found()
        return record, choose_best(versions).id == record.id

    def page(
        self, project: str, limit: int, after: str | None, *, name: str | None = None
    ) -> Page[tuple[ModelRecord, bool]]:
        with self._database.read() as tx:
            page = model_rows.page(tx, project, limit, after, name=name)
            versions = model_rows.standings(tx, project, {record.name for record in page.data})
        names: dict[str, list[Standing]] = {}
        for version in versions:
            names.setdefault(version.name, []).append(version)
        best = {choose_best(group).id for group in names.values()}
        return Page([(record, record.id in best) for record in page.data], page.has_more)

    def resolve(self, project: str, wanted: str | None) -> ModelRecord:
        """The version that answers for an id, a name, `name:version`, or for nothing where the project has only one
        name.

        Raises: NotFound; Unacceptable when a name is needed.
        """
        with self._database.read() as tx:
            if wanted is None:
                wanted = self._only_name(model_rows.names(tx, project, limit=2))
            elif wanted.startswith(IDS) and (record := model_rows.get(tx, project, wanted)):
                return record
            elif ":" in wanted:
                return _version(tx, project, wanted)
            versions = model_rows.standings(tx, project, {wanted})
            record = model_rows.get(tx, project, choose_best(versions).id) if versions else None
        if not versions:
            raise NotFound("no model has this name or id; GET /models lists them", code="model_not_found")
        return record or self.resolve(project, wanted)  # its best was deleted between the two queries

    def _only_name(self, names: list[str]) -> str:
        if not names:
            raise NotFound("no model has been trained yet; POST /jobs trains one", code="model_not_found")
        if len(names) > 1:
            raise Unacceptable('several models exist; say which with "model": "<name or id>"', code="model_required")
        return names[0]

    def promote(self, project: str, model_id: str) -> ModelRecord:
        """Pins a version as its name's best, until another is or its pin is taken. Raises: NotFound."""
        with self._database.write() as tx:
            model_rows.pin(tx, project, model_id)
            record = model_rows.get(tx, project, model_id)
            if record is None or record.pinned_at is None:  # deleted meanwhile: no other loses its pin for it
                raise model_not_found()
        return record

    def demote(self, project: str, model_id: str) -> None:
        """Takes a version's pin, if it has one: the lowest validation loss answers again. Raises: NotFound."""
        with self._database.write() as tx:
            if not model_rows.unpin(tx, project, model_id):
                raise model_not_found()

    def delete(self, project: str, model_id: str) -> None:
        """Takes a version away; requests that already hold it end in peace. Raises: NotFound."""
        with self._database.write() as tx:
            if not model_rows.remove(tx, project, model_id):
                raise model_not_found()
        self._artifacts.forget("models", model_id)


def _version(tx: Transaction, project: str, wanted: str) -> ModelRecord:
    """Raises: NotFound."""
    form = _VERSION.fullmatch(wanted)
    record = model_rows.get_version(tx, project, form[1], int(form[2])) if form else None
    if record is None:
        message = "no model has this name and version; `<name>:<number>` names one, GET /models?name=<name> lists them"
        raise NotFound(message, code="model_not_found")
    return record


def model_not_found() -> NotFound:
    return NotFound("there is no model with this id; GET /models lists them", code="model_not_found")
