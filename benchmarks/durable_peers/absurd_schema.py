"""Make the schema of absurd and one queue: absurd_schema.py URL."""

import asyncio
import sys

import psycopg
from absurd_sdk import AsyncAbsurd
from absurdctl import BUNDLED_SCHEMA_SQL


async def make_schema(url: str) -> None:
    """Write the schema that comes with its command line, and make the queue."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(BUNDLED_SCHEMA_SQL)
    await AsyncAbsurd(url).create_queue("default")


if __name__ == "__main__":
    asyncio.run(make_schema(sys.argv[1]))
