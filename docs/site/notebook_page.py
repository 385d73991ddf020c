"""Write a notebook, with the outputs that are stored in it, as a page and its pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

Output = dict[str, Any]


def notebook_page(text: str, place: str) -> dict[str, str | bytes]:
    """Convert a notebook of format 4 to Markdown.

    Args:
        text: of the .ipynb file.
        place: of the page on the site; its pictures stand beside it.

    Returns:
        The page, and each picture among its outputs, by their places.
    """
    parts: list[str] = []
    pictures: dict[str, str | bytes] = {}
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"]).strip("\n")
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source:
            parts.append(f"```python\n{source}\n```")
            for output in cell["outputs"]:
                if png := output.get("data", {}).get("image/png"):
                    name = f"{PurePosixPath(place).stem}-{len(pictures) + 1}.png"
                    pictures[str(PurePosixPath(place).with_name(name))] = base64.b64decode("".join(png))
                    parts.append(f"![Output]({name})")
            if shown := "".join(_texts(cell["outputs"])).strip("\n"):
                parts.append(f"```text\n{shown}\n```")
    return {place: "\n\n".join(parts) + "\n", **pictures}


def _texts(outputs: list[Output]) -> Iterator[str]:
    for output in outputs:
        data = output.get("data", {})
        if "image/png" not in data:
            yield "".join(output.get("text", data.get("text/plain", ""))).rstrip("\n") + "\n"
