"""Steps of absurd tasks, 20 workers at once: run_absurd.py URL."""

import asyncio
import sys

from absurd_schema import make_schema
from absurd_sdk import AsyncAbsurd
from talk import RESULT, serve


async def main() -> None:
    url = sys.argv[1]
    await make_schema(url)
    app, client = AsyncAbsurd(url), AsyncAbsurd(url)

    async def result() -> str:
        return RESULT

    @app.register_task("work")
    async def work(params, context):  # noqa: ANN001, ANN202 -- as its own examples
        for number in range(params["count"]):
            await context.step(f"step-{number}", result)

    async def act(parallel: int, count: int) -> None:
        spawned = [
            await client.spawn("work", {"count": count // parallel}, queue="default")
            for _ in range(parallel)
        ]
        for one in spawned:
            done = await client.await_task_result(one["task_id"])
            assert done.state == "completed", done

    working = asyncio.create_task(app.start_worker(concurrency=20, poll_interval=0.01))
    await serve(act)
    working.cancel()


if __name__ == "__main__":
    asyncio.run(main())
