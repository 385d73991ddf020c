"""A service on a free port of loopback, with an untrained model that answers fast, and pictures to send."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pages.api.serve import ServiceSettings, served_api
from workspace.config.clean import CleanConfig
from workspace.config.collect import NetworkConfig
from workspace.config.operate import ServeConfig, ServiceConfig
from workspace.storage.paths import Workspace

Start = Callable[..., str]


def _png(number: int, size: tuple[int, int] = (90, 80)) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Draw a picture that differs from every other number's."""
    return _png


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, save_model: Callable[..., Path]) -> Path:
    return save_model(tmp_path_factory.mktemp("served") / "model", ("ape", "bee"), resize_px=64, crop_px=64)


@pytest.fixture(scope="session")
def plain(model: Path) -> Iterator[str]:
    """The URL of a service with default settings, for tests that leave it as it is."""
    config = ServiceConfig(clean=CleanConfig(workers=1), network=NetworkConfig(per_host_pause_s=0))
    with served_api(ServiceSettings(lambda: model, config, device="cpu")) as url:
        yield url


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Start a service with some settings of [serve]; returns its URL."""
    with ExitStack() as running:

        def begin(
            folder: Path | Callable[[], Path] = model,
            *,
            token: str = "",
            workspace: Workspace | None = None,
            network: NetworkConfig | None = None,
            clean: dict[str, object] | None = None,
            **serve: object,
        ) -> str:
            config = ServiceConfig(
                ServeConfig.model_validate(serve),
                CleanConfig.model_validate({"workers": 1} | (clean or {})),
                network or NetworkConfig(per_host_pause_s=0),
            )
            choose = folder if callable(folder) else lambda: folder
            return running.enter_context(served_api(ServiceSettings(choose, config, workspace, "cpu", token)))

        yield begin
