"""Ray nodes of one core each on loopback, for tests and benchmarks: a cluster in small, left alone by every other one.

    RAY_TMPDIR=FOLDER python -m benchmarks.support.ray_nodes [2]

starts them, prints the address, and ends them with its standard input: a process of its own, so that they end with
whoever started them, however that ends, and nothing else of this machine ends with them.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

CHECKOUT = Path(__file__).resolve().parents[2]

# Not 127.0.0.1, which Ray takes for the address that other machines see.
_ADDRESS = "127.0.0.2"
_NODE = {
    "num_cpus": 1,
    "object_store_memory": 100_000_000,
    "node_ip_address": _ADDRESS,
    "include_log_monitor": False,
}


def missing() -> str:
    """Say what is missing for nodes on this machine; empty: nothing. Does not import Ray, which reads its variables."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install -c constraints.txt '.[cluster]'"
    return "" if sys.platform == "linux" else f"only Linux has {_ADDRESS} without being told"


@contextmanager
def temporary_nodes(count: int = 2) -> Iterator[str]:
    """Start nodes that ask for a token, and yield their address; the environment has what it takes to join them.

    Call it before anything imports Ray.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: the paths of its sockets may have 107 bytes
    (folder / "ray").mkdir()
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, "-m", "benchmarks.support.ray_nodes", str(count)]
    try:
        with (
            patch.dict(os.environ, settings),
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nodes,
        ):
            assert nodes.stdin and nodes.stdout
            try:
                address = ""
                while not address.startswith(_ADDRESS):
                    address = nodes.stdout.readline().strip()
                    if not address and nodes.poll() is not None:
                        raise RuntimeError("Ray did not start; its messages are above")
                yield address
            finally:
                nodes.stdin.close()
                nodes.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Start nodes, and end them with standard input."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=_NODE | {"include_dashboard": False})
    try:
        for _ in range(int(sys.argv[1]) - 1):
            cluster.add_node(**_NODE)
        print(cluster.address, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
