"""deleted jobs

A job may be deleted, with its report. Its row stays: it counts how often a test split has been scored.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # never anew: SQLite would drop the old table of jobs, and with it every event
    with op.batch_alter_table("jobs", recreate="never") as jobs:
        jobs.add_column(sa.Column("deleted_at", sa.Double(), nullable=True))


def downgrade() -> None:
    """What was deleted stays empty."""
    with op.batch_alter_table("jobs", recreate="never") as jobs:
        jobs.drop_column("deleted_at")
