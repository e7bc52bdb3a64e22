"""Nodes of a LangGraph with a durable saver, durability="sync": run_langgraph.py sqlite FILE | postgres URL."""

import asyncio
import sqlite3
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from talk import RESULT, serve


class State(TypedDict):
    left: int
    result: str


def node(state: State) -> dict[str, Any]:
    return {"left": state["left"] - 1, "result": RESULT}


def saver() -> Any:
    kind, where = sys.argv[1:]
    if kind == "sqlite":
        from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415 -- only who measures it has it

        return SqliteSaver(sqlite3.connect(where, check_same_thread=False))
    from langgraph.checkpoint.postgres import PostgresSaver  # noqa: PLC0415 -- only who measures it has it
    from psycopg.rows import dict_row  # noqa: PLC0415 -- only who measures it has it
    from psycopg_pool import ConnectionPool  # noqa: PLC0415 -- only who measures it has it

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    return PostgresSaver(ConnectionPool(where, max_size=20, kwargs=options, open=True))


def graph() -> Any:
    building = StateGraph(State)
    building.add_node("node", node)
    building.add_edge(START, "node")
    building.add_conditional_edges("node", lambda state: "node" if state["left"] else END)
    kept = saver()
    kept.setup()
    return building.compile(checkpointer=kept)


async def main() -> None:
    compiled, threads = graph(), ThreadPoolExecutor(20)

    def one(count: int) -> None:
        config = {"configurable": {"thread_id": uuid.uuid4().hex}, "recursion_limit": count + 10}
        compiled.invoke({"left": count, "result": ""}, config, durability="sync")

    async def act(parallel: int, count: int) -> None:
        loop = asyncio.get_running_loop()
        each = [loop.run_in_executor(threads, one, count // parallel) for _ in range(parallel)]
        await asyncio.gather(*each)

    await serve(act)


if __name__ == "__main__":
    asyncio.run(main())
