"""The two pictures at the top of the README: the demo in a terminal, and its report.

    python -m benchmarks.support.readme_pictures [--folder /tmp/ct-demo] [--chromium /usr/bin/chromium]

Runs `collect-and-train demo` in a folder of its own, draws what it printed (docs/demo.svg: the last counts of
each step) and photographs the top of its report (docs/report.png). `--log FILE --report FILE` take an earlier run's.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.highlighter import ReprHighlighter
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = "collect-and-train demo"
COLUMNS = 112
STEP = re.compile(r"Task run '(?P<step>\w+)[^']*' - \w+: \d+ done, \d+ already there; (?P<counts>.*)")
COLOURS = 96  # keeps the photograph small
WINDOW_PX = (1100, 550)

# As rich draws it, without its fonts from another site: an image in a README may load nothing.
SVG = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    """Run the demo, or take what is there, and write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/ct-demo"), help="emptied first")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--log", type=Path, help="what an earlier demo printed")
    parser.add_argument("--report", type=Path, help="its report")
    arguments = parser.parse_args()
    if arguments.log and arguments.report:
        log, report = arguments.log.read_text(encoding="utf-8"), arguments.report
    else:
        log, report = run_demo(arguments.folder)
    (CHECKOUT / "docs" / "demo.svg").write_text(terminal_svg(excerpt(log)), encoding="utf-8")
    photograph(report, CHECKOUT / "docs" / "report.png", arguments.chromium)


def run_demo(folder: Path) -> tuple[str, Path]:
    """Run the demo in an empty folder; return what it printed, and its report."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(Path(sys.executable).parent / "collect-and-train"), "demo", "-w", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout, max(folder.glob("runs/*/report.html"), key=lambda file: file.stat().st_mtime)


def excerpt(log: str) -> list[str]:
    """Pick the last counts of each step, those of the classes, and the places of report and model."""
    steps = {found["step"]: found["counts"] for found in map(STEP.search, log.splitlines()) if found}
    classes = re.findall(r"^.+: \d+ of \d+ clean pictures$", log, re.M)
    places = re.findall(r"^(?:Report|Model): .*$", log, re.M)
    return [*(f"{step}: {counts}" for step, counts in steps.items()), "", *classes, "", *places]


def terminal_svg(lines: list[str]) -> str:
    """Draw lines as a terminal shows them, below the command that printed them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "green"), (COMMAND, "bold")))
    highlight = ReprHighlighter()
    for line in lines:
        text = highlight(line)
        if name := re.match(r"[\w ]+:", line):
            text.stylize("bold blue", 0, name.end())
        console.print(text)
    return console.export_svg(
        title="collect-and-train", theme=DEFAULT_TERMINAL_THEME, code_format=SVG, unique_id="demo"
    )


def photograph(report: Path, file: Path, chromium: str) -> None:
    """Write the top of a page as a PNG of few colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": WINDOW_PX[0], "height": WINDOW_PX[1]})
        page.goto(report.resolve().as_uri())
        shot = page.screenshot()
        browser.close()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
