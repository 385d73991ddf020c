"""The review page: keep, drop or relabel images; each click is saved at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from pages.files import new_app, render
from pages.review_data import ReviewData, decision_json
from pages.thumbnails import SIDE_PX, JpegThumbnails
from pages.unlabelled import STATIC as UNLABELLED_STATIC
from pages.unlabelled import add_unlabelled
from workspace.catalog.catalog import Catalog
from workspace.catalog.overrides import Change
from workspace.config.model import WorkspaceConfig
from workspace.digest import SHA256, is_sha256
from workspace.errors import CollectAndTrainError
from workspace.reasons import REASONS
from workspace.served.kept import KeptPictures
from workspace.storage.paths import Workspace
from workspace.storage.run import next_run

STATIC = (
    *("page.css", "review.css"),
    *("review.js", "review_store.js", "review_grid.js", "review_details.js", "review_elements.js", "ask_json.js"),
    *UNLABELLED_STATIC,
)


_IMMUTABLE = {"cache-control": "private, max-age=31536000, immutable"}  # a sha256 never shows another image


class _ChangeRequest(BaseModel):
    sha256: Annotated[str, Field(pattern=f"^{SHA256}$")]
    label: str
    action: Literal["keep", "drop", "relabel", ""]
    new_label: str = ""
    seen: str = ""


class _ChangesRequest(BaseModel):
    changes: Annotated[list[_ChangeRequest], Field(min_length=1, max_length=100_000)]


def review_app(workspace: Workspace, config: WorkspaceConfig, catalog: Catalog, notes: tuple[str, ...] = ()) -> FastAPI:
    """Build the page as an application; `pages.local_auth.serve_page` serves it.

    Args:
        workspace: whose images.
        config: its classes, and how its pixel cache is made.
        catalog: open as long as the application is served; decisions are written to it.
        notes: sentences shown above the images.
    """
    app = new_app(STATIC)
    review_data = ReviewData(workspace, config, catalog)
    _add_reading(app, review_data, JpegThumbnails(workspace, config), notes)
    _add_deciding(app, review_data)
    add_unlabelled(app, workspace, config)

    @app.exception_handler(CollectAndTrainError)
    def known_error(_request: Request, error: CollectAndTrainError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 500)

    return app


def next_command(workspace: Workspace) -> str:
    """Return the command to run after a review; each step redoes only what the decisions changed."""
    return next_run(workspace)


def _add_reading(app: FastAPI, review_data: ReviewData, thumbnails: JpegThumbnails, notes: tuple[str, ...]) -> None:
    @app.get("/")
    def page() -> HTMLResponse:
        unlabelled = len(KeptPictures(review_data.workspace).undecided())
        values = {"name": review_data.workspace.root.resolve().name, "notes": notes, "unlabelled": unlabelled}
        return HTMLResponse(render("review.html.j2", next_command=next_command(review_data.workspace), **values))

    @app.get("/api/classes")
    def classes() -> dict[str, Any]:
        return {
            "classes": review_data.overview(),
            "first": review_data.first_class(),
            "empty": review_data.empty_classes(),
            "words": {name: item.words for name, item in REASONS.items()},
            "decisions": len(review_data.overrides()),
        }

    @app.get("/api/pictures")
    def pictures(label: str) -> Response:
        if label not in review_data.classes:
            raise HTTPException(404, f"there is no class {label!r}")
        return JSONResponse(review_data.pictures(label))  # plain dicts: checking 10,000 of them would take a second

    @app.get("/api/picture")
    def picture(sha256: str, label: str) -> dict[str, Any]:
        found = review_data.details(sha256, label)
        if found is None:
            raise HTTPException(404, "there is no such picture")
        return found

    @app.get("/picture/{size}/{sha256}.jpg")
    def jpeg(size: str, sha256: str) -> Response:
        data = thumbnails.jpeg(sha256, size) if size in SIDE_PX and is_sha256(sha256) else None
        if data is None:
            raise HTTPException(404, "there is no picture to show")
        return Response(data, media_type="image/jpeg", headers=_IMMUTABLE)


def _add_deciding(app: FastAPI, review_data: ReviewData) -> None:
    @app.post("/api/decide")
    def save(decisions: _ChangesRequest) -> dict[str, Any]:
        changes = []
        for change in decisions.changes:
            if not review_data.knows(change.sha256, change.label):
                raise HTTPException(404, "there is no such picture under this label")
            if (change.action == "relabel") != bool(change.new_label) or change.new_label == change.label:
                raise HTTPException(422, "new_label must name another class for relabel, and be empty otherwise")
            if change.new_label and change.new_label not in review_data.classes:
                raise HTTPException(422, f"there is no class {change.new_label!r}")
            changes.append(Change(change.sha256, change.label, change.action, change.new_label, change.seen))
        made = review_data.decide(changes)
        results = [
            {
                "sha256": result.change.sha256,
                "label": result.change.label,
                "made": result.made,
                "mine": decision_json(result.now),
            }
            for result in made
        ]
        return {"results": results, "classes": review_data.overview(), "decisions": len(review_data.overrides())}
