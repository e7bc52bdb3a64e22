"""The environment in which the peers of the durability benchmarks run."""

from failures_lab.environments import Peer

PEER = Peer(
    "durability", "dbos",
    (
        "dbos==3.4.0", "langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2",
        "langgraph-checkpoint-postgres==3.2.0", "absurd-sdk==0.5.1", "absurdctl==0.5.1",
        "psycopg[binary,pool]==3.3.9",
    ),
)  # fmt: skip
SHOWN = ("dbos", "langgraph", "absurd-sdk", "psycopg")
