"""claims by index

The oldest queued job is the first of an index now; with 100,000 queued ones all were sorted for each claim.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_jobs_status_created_at_id"), "jobs", ["status", "created_at", "id"])
    op.drop_index(op.f("ix_jobs_status_id"), table_name="jobs")


def downgrade() -> None:
    op.create_index(op.f("ix_jobs_status_id"), "jobs", ["status", "id"])
    op.drop_index(op.f("ix_jobs_status_created_at_id"), table_name="jobs")
