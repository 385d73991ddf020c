"""Copy the pages of the repository into build/docs, with their links rewritten, and generate the references.

python -m docs.site.stage
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from docs.site.commands_page import commands_page
from docs.site.json_page import json_page
from docs.site.modules_pages import modules_pages, page_of
from docs.site.notebook_page import notebook_page
from docs.site.settings_page import settings_page

CHECKOUT = Path(__file__).resolve().parents[2]
STAGED = CHECKOUT / "build" / "docs"
DECISIONS = "decisions/index.md"

OUTSIDE_DOCS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "data/README.md": "files.md",
}
"""Pages of the site that stand outside of docs/ in the repository, by their path there."""

_LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#]*)(#[^)\s]*)?\)")


def main() -> None:
    """Make build/docs anew."""
    shutil.rmtree(STAGED, ignore_errors=True)
    for place, content in site_files().items():
        file = STAGED / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())


def site_files() -> dict[str, str | bytes]:
    """Make every page and image of the site, by its place there."""
    pages = repository_pages()
    texts = {path: (CHECKOUT / path).read_text(encoding="utf-8") for path in pages}
    files: dict[str, str | bytes] = {
        place: site_markdown(texts[path], path, pages) for path, place in pages.items() if path.endswith(".md")
    }
    files["index.md"] = f"---\nhide: [navigation]\n---\n\n{files['index.md']!s}"  # it has no pages beside it
    files["license.md"] = f"# Licence\n\n{texts['LICENSE']}"
    files[DECISIONS] = decisions_page(texts)
    files["reference/settings.md"] = settings_page()
    files["reference/commands.md"] = commands_page()
    files["reference/json.md"] = json_page()
    for notebook in (CHECKOUT / "docs").rglob("*.ipynb"):
        place = notebook.relative_to(CHECKOUT / "docs").with_suffix(".md").as_posix()
        files |= notebook_page(notebook.read_text(encoding="utf-8"), place)
    images = [image for pattern in ("*.png", "*.svg") for image in (CHECKOUT / "docs").glob(pattern)]
    return files | modules_pages() | {image.name: image.read_bytes() for image in images}


def repository_pages() -> dict[str, str]:
    """Map the path of each page in the repository to its place on the site."""
    inside = [file.relative_to(CHECKOUT / "docs").as_posix() for file in (CHECKOUT / "docs").rglob("*.md")]
    return OUTSIDE_DOCS | {f"docs/{path}": path for path in sorted(inside)}


def site_markdown(text: str, path: str, pages: Mapping[str, str]) -> str:
    """Write a page for the site: its links lead to the places there, and lists begin after an empty line."""
    return _separated_lists(_LINK.sub(lambda found: _link(found, path, pages), text))


def _link(found: re.Match[str], path: str, pages: Mapping[str, str]) -> str:
    label, target, anchor = found[1], found[2], found[3] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    repository_path = os.path.normpath(PurePosixPath(path).parent / target)
    place = _place(repository_path, pages)
    return f"{label}({os.path.relpath(place, PurePosixPath(pages[path]).parent)}{anchor})"


def _place(repository_path: str, pages: Mapping[str, str]) -> str:
    if repository_path in pages:
        return pages[repository_path]
    if repository_path == "docs/decisions":
        return DECISIONS
    if repository_path.endswith(".ipynb"):
        return repository_path.removeprefix("docs/").replace(".ipynb", ".md")
    if repository_path.endswith(".py"):
        return page_of(repository_path)
    return repository_path.removeprefix("docs/")  # an image; mkdocs says where it is none


def _separated_lists(text: str) -> str:
    """Put an empty line before each list that follows a paragraph: Python-Markdown takes it for one otherwise."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        starts = re.match(r"(?:[-*]|\d+\.) ", line) is not None
        if not fenced and starts and lines and lines[-1] and not re.match(r"\s|[-*] |\d+\. ", lines[-1]):
            lines += [""] if not _inside_item(lines) else []
        lines.append(line)
    return "\n".join(lines) + "\n"


def _inside_item(lines: list[str]) -> bool:
    """Whether the last line goes on an item of a list without being indented."""
    for line in reversed(lines):
        if not line:
            return False
        if re.match(r"(?:[-*]|\d+\.) ", line):
            return True
    return False


def decisions_page(texts: Mapping[str, str]) -> str:
    """List the decisions by the titles of their pages."""
    rows = []
    for path, text in sorted(texts.items()):
        if path.startswith("docs/decisions/"):
            rows.append(f"- [{text.partition(chr(10))[0].removeprefix('# ')}]({PurePosixPath(path).name})")
    intro = "What differs from what one would expect: what was tried, what was measured, what was chosen."
    return "\n".join(["# Decisions", "", intro, "", *rows, ""])


if __name__ == "__main__":
    main()
