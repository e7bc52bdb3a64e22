"""The journal in PostgreSQL, for the extra `postgres`."""

from standpipe.stores.postgres.leases import Worker as Worker
from standpipe.stores.postgres.schema import (
    SCHEMA_VERSION as SCHEMA_VERSION,
    Migrated as Migrated,
    migrate as migrate,
)
from standpipe.stores.postgres.store import PostgresStore as PostgresStore
