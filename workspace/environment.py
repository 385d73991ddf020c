"""Defaults of the environment variables that Prefect, PyTorch, albumentations and OpenMP read at import."""

from __future__ import annotations

import os

_DEFAULTS = {
    # A cold start of the ephemeral server took up to 19 s on 2 busy cores, against Prefect's limit of 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Nothing that people collect or train is reported to anybody.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # Threads that wait sleep: with another process on the same 2 cores fine-tuning ran at 52 img/s so, spinning at 11.
    "OMP_WAIT_POLICY": "PASSIVE",
    # On an Apple GPU the CPU does what PyTorch has no kernel for.
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    # albumentations asks the network for a newer release of itself at import unless told not to.
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


def set_defaults() -> None:
    """Set each variable that is not set yet; call it before those libraries are imported."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
