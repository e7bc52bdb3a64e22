"""Steps of DBOS workflows: run_dbos.py URL. A WAL is what the file was made with."""

import asyncio
import sys
import uuid

from dbos import DBOS, DBOSConfig
from talk import RESULT, serve


@DBOS.step()
async def step(number: int) -> str:
    del number
    return RESULT


@DBOS.workflow()
async def work(count: int) -> int:
    for number in range(count):
        await step(number)
    return count


async def act(parallel: int, count: int) -> None:
    started = [await DBOS.start_workflow_async(work, count // parallel) for _ in range(parallel)]
    for one in started:
        await one.get_result()


async def main() -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": sys.argv[1],
        "run_admin_server": False,
        "executor_id": str(uuid.uuid4()),
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    await serve(act)


if __name__ == "__main__":
    asyncio.run(main())
