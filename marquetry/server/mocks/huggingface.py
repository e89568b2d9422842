"""Hugging Face's hub: files of repositories, as https://huggingface.co/docs/hub/api describes `resolve`.

A file `owner/repo/path` in the content folder is served under any revision; the built-in model is `marquetry/mini` without any file.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from marquetry.engine.models.builtin import BUILTIN_FOLDER

ENVIRONMENT = {"HF_ENDPOINT": "{url}"}
BUILTIN_REPOSITORY = ("marquetry", "mini")


def application(content: Path) -> web.Application:
    """The routes, over the content folder."""

    async def resolve(request: web.Request) -> web.StreamResponse:
        match = request.match_info
        path = found(content, match["owner"], match["repository"], match["path"])
        if path is None:
            return web.json_response({"error": "Entry not found"}, status=404, headers={"X-Error-Code": "EntryNotFound"})
        return web.FileResponse(path, headers={"X-Repo-Commit": "0" * 40, "X-Linked-Size": str(path.stat().st_size)})

    routes = web.Application()
    routes.router.add_get("/{owner}/{repository}/resolve/{revision}/{path:.+}", resolve)
    return routes


def found(content: Path, owner: str, repository: str, path: str) -> Path | None:
    """The file that is served; None outside of the folder and where there is none."""
    if (owner, repository) == BUILTIN_REPOSITORY:
        return next((file for file in BUILTIN_FOLDER.iterdir() if file.name == path), None)
    base = (content / owner / repository).resolve()
    wanted = (base / path).resolve()
    return wanted if base.is_relative_to(content.resolve()) and wanted.is_relative_to(base) and wanted.is_file() else None
