"""Files: sent in whole, given out to those who may read them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from api.file_services import FileServices
from api.http.chat_shapes import LinkAnswer, answer, content
from api.http.file_bytes import Content, send
from api.http.routing import Caller, Responses, Svc, bearer, make_router, problem_response, problems
from api.http.uploads import Upload, check_announced
from api.render import file_shape, rfc3339
from api.shapes import FileShape
from commands.errors import BadToken, Gone, Invalid, NoSuchFile, RateLimited, TooLarge
from commands.files import THUMBNAIL_TYPE, StoredFile, content_key, thumbnail_key
from events.ids import unix_us

router = make_router("files")

_MULTIPART = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                    "additionalProperties": False,
                }
            }
        },
    }
}
_BYTES: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_SENT: Responses = {
    200: {"description": "The bytes, under the file's own media type.", "content": _BYTES},
    206: {"description": "The range that was asked for.", "content": _BYTES},
    304: {"description": "What the client has is what there is."},
    307: {"description": "The storage has it, and answers at `Location` for some minutes."},
    416: problem_response("`out_of_range`"),
    **problems(NoSuchFile, Gone),
}
_PRIVATE = "private, no-cache"
"""Kept, but asked for each time: a file can be erased."""


async def _files_of(request: Request) -> FileServices:
    files: FileServices = request.app.state.services.files
    return files


FilesOf = Annotated[FileServices, Depends(_files_of)]


@router.post(
    "/v1/files",
    status_code=201,
    openapi_extra=_MULTIPART,
    responses={201: content(FileShape, "Kept."), **problems(TooLarge, Invalid, RateLimited)},
)
async def upload(request: Request, caller: Caller, services: Svc, files: FilesOf) -> Response:
    """Keep a file of up to 100 MB for 30 days. Its type is told by its content. A picture is made anew: upright, and
    without notes such as where it was taken."""
    headers = services.limits.uploads.enforce(caller.user_id)
    check_announced(request)
    body = Upload(request)
    await body.start()
    info = await files.files.receive(caller.user_id, body.name, body.chunks())
    return answer(file_shape(info), 201, headers)


async def _shown(
    file_id: str,
    request: Request,
    services: Svc,
    files: FilesOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    until: Annotated[int | None, Query(ge=0, le=10**11, description="Of a link: when it stops working.")] = None,
    signature: Annotated[str | None, Query(max_length=64, description="Of a link.")] = None,
) -> tuple[StoredFile, str]:
    """The file, for a token or a link; and how long it may be kept by caches."""
    if until is not None and signature is not None:
        left = files.links.seconds_left(request.scope["path"], until, signature)
        stored = await files.files.linked(file_id)
        return stored, f"{'public' if files.links.is_shared else 'private'}, max-age={left}, immutable"
    if credentials is None:
        raise BadToken
    claims = services.tokens.verify(credentials.credentials)
    return await files.files.readable(claims.user_id, file_id), _PRIVATE


Shown = Annotated[tuple[StoredFile, str], Depends(_shown)]


@router.get("/v1/files/{file_id}", response_class=Response, responses=_SENT)
async def whole(request: Request, shown: Shown, files: FilesOf) -> Response:
    """The file's bytes, for its uploader and members of a chat where it was sent; `Range` is understood."""
    stored, cache = shown
    info = stored.info
    etag = f'"{info.sha256}"'
    is_shown = info.is_picture or not info.content_type.startswith("image/")
    return await send(
        request,
        files.files.blobs,
        Content(content_key(info.file_id), info.name, info.content_type, info.size, etag, cache, is_shown),
    )


@router.get("/v1/files/{file_id}/thumbnail", response_class=Response, responses=_SENT)
async def thumbnail(request: Request, shown: Shown, files: FilesOf) -> Response:
    """A picture in small, at most 640 pixels wide and high; 404 for what is no picture."""
    stored, cache = shown
    info = stored.info
    if stored.thumbnail_size is None:
        raise NoSuchFile("this file is no picture")
    etag = f'"{info.sha256}-small"'
    name = f"{info.name.rpartition('.')[0] or info.name}.webp"
    return await send(
        request,
        files.files.blobs,
        Content(thumbnail_key(info.file_id), name, THUMBNAIL_TYPE, stored.thumbnail_size, etag, cache),
    )


@router.get(
    "/v1/files/{file_id}/url",
    responses={200: content(LinkAnswer, "Links that work without a token."), **problems(NoSuchFile, Gone)},
)
async def url(file_id: str, caller: Caller, files: FilesOf) -> Response:
    """Links to the file and, of a picture, to it in small, that work without a token for 15 to 30 minutes. They are
    relative to this server unless a CDN stands before it."""
    stored = await files.files.readable(caller.user_id, file_id)
    path = f"/v1/files/{stored.info.file_id}"
    link, until = files.links.make(path)
    small = None if stored.thumbnail_size is None else files.links.make(f"{path}/thumbnail")[0]
    return answer(LinkAnswer(link, small, rfc3339(unix_us(until))))
