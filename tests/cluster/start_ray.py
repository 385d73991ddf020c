"""Start Ray nodes of one core each on loopback, print the address, and end them with standard input.

    RAY_TMPDIR=FOLDER python start_ray.py

A process of its own, so that the nodes end with the tests whatever becomes of these, and nothing else ends with them.
"""

import sys

from ray.cluster_utils import Cluster

# Not 127.0.0.1, which Ray takes for the address that other machines see.
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "node_ip_address": "127.0.0.2", "include_log_monitor": False}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    try:
        cluster.add_node(**NODE)
        print(cluster.address, flush=True)  # noqa: T201
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
