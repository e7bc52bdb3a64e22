"""A worker of DBOS: workflows from a queue, every mail a step. It ends when all workflows have ended.

Killed and started again it keeps its executor id: that is how DBOS recovers without its paid service.
"""

import asyncio

from dbos import DBOS, DBOSConfig, SetWorkflowID
from mail import AT_ONCE, send, work

WORK = work()
QUEUE = "mail"


@DBOS.step()
async def mail(order: str) -> str:
    return await send(WORK.ledger, order)


@DBOS.workflow()
async def run(number: int) -> int:
    for order in range(1, WORK.orders + 1):
        await mail(f"{number}-1-{order}")
    return number


async def main() -> None:
    config: DBOSConfig = {
        "name": "chaos",
        "system_database_url": WORK.url,
        "run_admin_server": False,
        "executor_id": WORK.worker,
        "application_version": "1",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    await DBOS.register_queue_async(QUEUE, worker_concurrency=AT_ONCE, polling_interval_sec=0.1)
    if WORK.worker == "w0":  # the ids make it harmless to say it again
        for number in range(1, WORK.runs + 1):
            with SetWorkflowID(f"run-{number}"):
                await DBOS.enqueue_workflow_async(QUEUE, run, number)
    while len(await DBOS.list_workflows_async(status="SUCCESS", load_output=False)) < WORK.runs:  # noqa: ASYNC110 -- in another process
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(main())
