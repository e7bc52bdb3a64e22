"""The same call through aegis-kernel 0.6.0; run by gate.py in an environment of its own."""

import json
import sys
import tempfile
import time
from pathlib import Path

from aegis import ToolRegistry, build_kernel, parse_policy
from aegis.audit import AuditLog

POLICY = {
    "name": "bench",
    "version": 3,
    "effects": ["read", "write"],
    "tools": {
        "allow": [
            {
                "name": "write_file",
                "require_args": ["path", "content"],
                "args": {
                    "path": {"prefix": "/workspace/out/", "forbid_matches": r"(?i)\.\.|%2e|%00"},
                    "content": {"max_len": 200000},
                },
            }
        ]
    },
    "budget": {"usd": 5.0, "tokens": 400000, "wall_clock_s": 900, "tool_calls": 1000000},
}
ARGUMENTS = {"path": "/workspace/out/summary.txt", "content": "twelve lines about an order " * 4}


def main() -> None:
    rounds = int(sys.argv[1])
    registry = ToolRegistry()

    @registry.tool("write_file", effects={"write"}, classification="internal")
    def write_file(path: str, content: str) -> str:
        return f"{path}: {len(content)}"

    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / "audit.jsonl")
        kernel, grant = build_kernel(parse_policy(POLICY), registry, ratify=False, audit=log)
        _, call = kernel._admit(grant, "write_file", dict(ARGUMENTS), is_async=False)  # noqa: SLF001 -- its `Call` is made nowhere else
        assert kernel.decide(grant, call).allowed
        decide, invoke = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            kernel.decide(grant, call)
            decide.append(time.perf_counter() - start)
        for _ in range(rounds // 10):
            start = time.perf_counter()
            kernel.invoke(grant, "write_file", **ARGUMENTS)
            invoke.append(time.perf_counter() - start)
    print(json.dumps({"decide": decide, "invoke": invoke}))


main()
