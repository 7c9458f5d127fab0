"""Devices that pushes go to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
oldest_code = "0001"

ID = sa.String(36)
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("device_id", sa.String(64), nullable=False),
        sa.Column("platform", sa.String(8), nullable=False),
        sa.Column("token", sa.String(4096), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("locale", sa.String(35)),
        sa.Column("environment", sa.String(10), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name="fk_devices_session_id_sessions", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_devices_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", "device_id", name="pk_devices"),
        sa.UniqueConstraint("token_hash", name="uq_devices_token_hash"),
    )
    op.create_index("ix_devices_session_id", "devices", ["session_id"])
