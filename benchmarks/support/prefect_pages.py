"""Screenshots of Prefect's page for the documentation.

    python -m benchmarks.support.prefect_pages [--folder /tmp/pandas] [--chromium /usr/bin/chromium]

Serves the demo's pictures, starts `collect-and-train up` on a workspace in a folder of its own, collects and trains by
the literal command, drops new pictures into the inbox, waits for the decision, and photographs Prefect's page. Takes a
few minutes; writes docs/prefect-*.png.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from PIL import Image

from flows.server.client import connected
from gallery.drawing.render import Spec, body_of
from gallery.site import Gallery
from workspace.resolve import open_workspace
from workspace.storage.champion import read_decisions
from workspace.storage.paths import Workspace

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
WINDOW_PX = (1280, 860)
COLOURS = 96  # keeps each picture below 150 kB


def main() -> None:
    """Run the flows and photograph the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/pandas"), help="emptied first; shows in the pictures")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--per-class", type=int, default=24, help="honest pictures of each of the five things")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    workspace = Workspace(arguments.folder / "things")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(arguments.folder / ".prefect")
    with Gallery.rendered(per_class=arguments.per_class, seed=1) as site:
        settings = {
            "search.per_class": 2 * arguments.per_class,
            "search.openverse.url": site.openverse_url,
            "network.allow_private_addresses": True,
            "network.per_host_pause_s": 0,
            "train.backbone": "efficientnet_lite0",
            "train.epochs": 4,
            "retrain.min_new_images": 30,
            "retrain.settle_s": 1,
        }
        open_workspace(workspace.root, site.keywords, settings)
        log = arguments.folder / "log"
        with log.open("wb") as out:
            up = subprocess.Popen(
                [BIN / "collect-and-train", "up", "--port", "0", "-w", workspace.root, "--watch-every", "30"],
                env=environment,
                cwd=CHECKOUT,
                stderr=out,
            )
        try:
            wait_for(lambda: "Prefect's page: " in log.read_text(), up)
            page = re.findall(r"Prefect's page: (\S+)", log.read_text())[0]
            subprocess.run(
                [BIN / "prefect", "deployment", "run", "collect-and-train", "--watch"],
                env=environment | {"PREFECT_API_URL": f"{page}/api"},
                cwd=CHECKOUT,
                check=True,
            )
            for round_ in (1, 2):
                drop(workspace, site.keywords, round_)
                wait_for(lambda wanted=round_ + 1: len(read_decisions(workspace)) == wanted, up)  # type: ignore[misc]
            time.sleep(5)
            photograph(page, arguments.chromium)
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def drop(workspace: Workspace, keywords: tuple[str, ...] | list[str], round_: int) -> None:
    """Drop new pictures of each object into the inbox, eight at a time."""
    for keyword in keywords:
        for number in range(8):
            file = workspace.inbox / keyword / f"{round_}-{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body_of(Spec(70 + round_, keyword, number, "honest", "jpeg", (480, 360))) or b"")


def wait_for(condition: Callable[[], bool], up: subprocess.Popen[bytes]) -> None:
    """Wait up to ten minutes."""
    deadline = time.monotonic() + 600
    while not condition():
        if up.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("`collect-and-train up` ended, or nothing came; see its log")
        time.sleep(1)


def ask(
    page: str, route: Literal["/artifacts/latest/filter", "/flow_runs/filter"], question: Mapping[str, object]
) -> dict[str, str]:
    """Return the first row of an answer of Prefect's API."""
    with connected(f"{page}/api", timeout_s=60, retries=5) as client:
        row: dict[str, str] = client.request("POST", route, json=question).json()[0]
    return row


def photograph(page: str, chromium: str) -> None:
    """Write docs/prefect-*.png."""
    from playwright.sync_api import sync_playwright

    shots = {"runs": "/runs", "deployments": "/deployments"}
    retraining = {"flows": {"name": {"any_": ["retrain"]}}, "sort": "START_TIME_DESC"}
    shots["retrain"] = f"/runs/flow-run/{ask(page, '/flow_runs/filter', retraining)['id']}"
    for key in ("report", "models"):
        latest = ask(page, "/artifacts/latest/filter", {"artifacts": {"key": {"any_": [key]}}})
        shots[key] = f"/artifacts/artifact/{latest['latest_id']}"
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WINDOW_PX[0], "height": WINDOW_PX[1]})
        tab.set_default_timeout(120_000)
        for name, path in shots.items():
            tab.goto(page + path, wait_until="networkidle")
            tab.wait_for_timeout(5000)
            picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB").quantize(COLOURS)
            target = CHECKOUT / "docs" / f"prefect-{name}.png"
            picture.save(target, optimize=True)
            print(f"{target.relative_to(CHECKOUT)}: {target.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
