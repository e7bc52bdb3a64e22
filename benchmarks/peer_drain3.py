"""Cluster lines with drain3 in an environment of its own: JSON list in, {threshold: cluster ids} out."""

import json
import sys

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig

THRESHOLDS = (0.4, 0.6)  # its default, and a stricter one


def clusters(messages: list[str], threshold: float) -> list[int]:
    config = TemplateMinerConfig()
    config.drain_sim_th = threshold
    miner = TemplateMiner(config=config)
    return [miner.add_log_message(" ".join(text.split()))["cluster_id"] for text in messages]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump({str(threshold): clusters(given, threshold) for threshold in THRESHOLDS}, sys.stdout)
