"""Serve Prefect's API until the process that started this one is gone: python -m flows.server.temporary PORT.

Standard input is a pipe from the starter. The kernel closes it however the starter ends, by kill -9 too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

_STOP_S = 10.0


def main() -> None:
    """Serve Prefect's API on loopback until the pipe closes or a signal comes."""
    threading.Thread(target=_end_with_starter, daemon=True).start()  # before the imports, which take seconds
    import uvicorn

    app = "prefect.server.api.server:create_app"
    uvicorn.run(app, factory=True, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", lifespan="on")


def _end_with_starter() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_S)
    os._exit(1)


if __name__ == "__main__":
    main()
