"""lists by index, and one pin a name

Lists that are narrowed to a state, a name or a data set are read from an index in their order. Of a name's versions
only the one that was pinned last is pinned.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_GIVEN_UP = """
UPDATE models SET pinned_at = NULL WHERE EXISTS (
    SELECT 1 FROM models AS later WHERE later.project = models.project AND later.name = models.name
    AND later.pinned_at > models.pinned_at AND later.deleted_at IS NULL
)
"""


def upgrade() -> None:
    op.execute(_GIVEN_UP)
    op.create_index(op.f("ix_datasets_project_name_id"), "datasets", ["project", "name", "id"])
    for column in ("status", "name", "dataset_id"):
        op.create_index(op.f(f"ix_jobs_project_{column}_id"), "jobs", ["project", column, "id"])
    op.drop_index(op.f("ix_jobs_project_status"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_dataset_id"), table_name="jobs")


def downgrade() -> None:
    op.create_index(op.f("ix_jobs_dataset_id"), "jobs", ["dataset_id"])
    op.create_index(op.f("ix_jobs_project_status"), "jobs", ["project", "status"])
    for column in ("status", "name", "dataset_id"):
        op.drop_index(op.f(f"ix_jobs_project_{column}_id"), table_name="jobs")
    op.drop_index(op.f("ix_datasets_project_name_id"), table_name="datasets")
