"""Users, their sealing keys, sessions and mutes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import VARCHAR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
oldest_code = "0001"

ID = sa.String(36)
INSTANT = sa.DateTime(timezone=True)


def searchable(length: int) -> sa.String:
    return sa.String(length).with_variant(VARCHAR(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_installation"),
    )
    op.create_table(
        "users",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("username", searchable(32)),
        sa.Column("display_name", sa.String(64)),
        sa.Column("display_key", searchable(64)),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("push_preview", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("locale", sa.String(35)),
        sa.Column("admin", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("erased_at", INSTANT),
        sa.Column("leaving", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
        sa.UniqueConstraint("name_mac", name="uq_users_name_mac"),
        sa.UniqueConstraint("username", name="uq_users_username"),
    )
    op.create_index("ix_users_display_key", "users", ["display_key", "user_id"])
    op.create_table(
        "data_keys",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(61)),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("destroyed_at", INSTANT),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_data_keys_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", name="pk_data_keys"),
    )
    op.create_index("ix_data_keys_destroyed_at", "data_keys", ["destroyed_at"])
    op.create_table(
        "sessions",
        sa.Column("session_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.Column("client", sa.String(200)),
        sa.Column("ended_at", INSTANT),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_sessions_user_id_users"),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_ended_at", "sessions", ["ended_at"])
    op.create_table(
        "mutes",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("chat_id", ID, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name="fk_mutes_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", "chat_id", name="pk_mutes"),
    )
