"""projects and keys

What was there before belongs to the project `default`, and its bytes count as none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _project() -> "sa.Column[str]":
    return sa.Column("project", sa.String(length=40), server_default="default", nullable=False)


def _bytes() -> "sa.Column[int]":
    return sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("project", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    # never anew: SQLite would drop the old table of jobs, and with it every event
    with op.batch_alter_table("jobs", recreate="never") as jobs:
        jobs.add_column(_project())
        jobs.create_index(jobs.f("ix_jobs_project_id"), ["project", "id"])
        jobs.create_index(jobs.f("ix_jobs_project_status"), ["project", "status"])
    with op.batch_alter_table("datasets") as datasets:
        datasets.add_column(_project())
        datasets.add_column(_bytes())
        datasets.create_index(datasets.f("ix_datasets_project_id"), ["project", "id"])
    with op.batch_alter_table("models") as models:
        models.add_column(_project())
        models.add_column(_bytes())
        models.drop_constraint("uq_models_name_version", type_="unique")
        models.create_unique_constraint("uq_models_project_name_version", ["project", "name", "version"])
        models.create_index(models.f("ix_models_project_id"), ["project", "id"])
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.add_column(_project())
        keys.alter_column("job_id", new_column_name="made_id")
        keys.drop_constraint("pk_idempotency_keys", type_="primary")
        keys.create_primary_key("pk_idempotency_keys", ["project", "key"])


def downgrade() -> None:
    """Only what belongs to `default` is kept where two projects would be in each other's way."""
    op.execute("DELETE FROM idempotency_keys WHERE project <> 'default'")
    op.execute("DELETE FROM models WHERE project <> 'default'")
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.drop_constraint("pk_idempotency_keys", type_="primary")
        keys.drop_column("project")
        keys.alter_column("made_id", new_column_name="job_id")
        keys.create_primary_key("pk_idempotency_keys", ["key"])
    with op.batch_alter_table("models") as models:
        models.drop_index("ix_models_project_id")
        models.drop_constraint("uq_models_project_name_version", type_="unique")
        models.create_unique_constraint("uq_models_name_version", ["name", "version"])
        models.drop_column("bytes")
        models.drop_column("project")
    with op.batch_alter_table("datasets") as datasets:
        datasets.drop_index("ix_datasets_project_id")
        datasets.drop_column("bytes")
        datasets.drop_column("project")
    with op.batch_alter_table("jobs", recreate="never") as jobs:
        jobs.drop_index("ix_jobs_project_status")
        jobs.drop_index("ix_jobs_project_id")
        jobs.drop_column("project")
    op.drop_table("api_keys")
