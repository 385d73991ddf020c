"""Start Ray nodes of one core each on loopback, print the address, and end them with standard input.

    python start_ray.py FOLDER [CORES CORES …]

A process of its own, so that the nodes end with the tests whatever becomes of these, and nothing else ends with them.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"object_store_memory": 100_000_000, "node_ip_address": "127.0.0.1", "include_log_monitor": False}


def main() -> None:
    folder, cores = sys.argv[1], [int(word) for word in sys.argv[2:]] or [1, 1]
    cluster = Cluster(
        initialize_head=True,
        head_node_args=NODE | {"num_cpus": cores[0], "include_dashboard": False, "temp_dir": folder},
    )
    try:
        for count in cores[1:]:
            cluster.add_node(**NODE, num_cpus=count)
        print(cluster.address, flush=True)  # noqa: T201
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
