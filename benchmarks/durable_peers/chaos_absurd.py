"""A worker of absurd: tasks from a queue, every mail a step. It ends when all tasks have ended."""

import asyncio

from absurd_sdk import AsyncAbsurd
from mail import AT_ONCE, send, work

LEASE_SECONDS = 2
ATTEMPTS = 1_000  # five, its default, is fewer than the kills a task may meet here


async def main() -> None:
    told = work()
    app, client = AsyncAbsurd(told.url), AsyncAbsurd(told.url)

    @app.register_task("run", default_max_attempts=ATTEMPTS)
    async def run(params, context):  # noqa: ANN001, ANN202 -- as its own examples
        for order in range(1, told.orders + 1):
            name = f"{params['number']}-1-{order}"
            await context.step(name, lambda name=name: send(told.ledger, name))

    working = asyncio.create_task(
        app.start_worker(
            worker_id=told.worker,
            claim_timeout=LEASE_SECONDS,
            concurrency=AT_ONCE,
            poll_interval=0.1,
        )
    )
    tasks = [
        await client.spawn("run", {"number": n}, queue="default", idempotency_key=f"run-{n}", max_attempts=ATTEMPTS)
        for n in range(1, told.runs + 1)
    ]  # fmt: skip
    for task in tasks:
        await client.await_task_result(task["task_id"])
    working.cancel()


if __name__ == "__main__":
    asyncio.run(main())
