"""Run by Alembic, on the connection and in the transaction that `infra.sql.migrate` hands it."""

from alembic import context

from infra.sql.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
