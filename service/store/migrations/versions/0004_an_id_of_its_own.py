"""an id of its own

By which the artifacts know which database theirs is: beside another one, every folder would be an orphan to be removed.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    installation = op.create_table(
        "installation",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.bulk_insert(installation, [{"id": f"ins_{secrets.token_hex(16)}"}])


def downgrade() -> None:
    op.drop_table("installation")
