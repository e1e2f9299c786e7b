"""A program that starts a Ray cluster of several nodes on this machine.

    python -m tests.integration.ray_cluster.nodes NODES

It prints the address of the cluster, takes a node away for each line of standard input, prints a line when
it is gone, and ends with its input. It is a process of its own, because Ray raises warnings, which the tests
forbid.
"""

import os
import sys


def main(nodes: int) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    each = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**each, "include_dashboard": False})
    others = [cluster.add_node(**each) for _ in range(nodes - 1)]
    _say(cluster.address)
    for _ in sys.stdin:
        cluster.remove_node(others.pop())
        _say(f"{1 + len(others)} nodes")
    cluster.shutdown()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
