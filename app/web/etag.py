"""The id of the library's state as ETag, and the answer 304 for a client that has the current answer already."""

from fastapi import Request, Response

from app.labelfile.catalog import Labels


class NotModified(Exception):
    """The client has the current answer already; `headers` are those of the 304."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers

    def answer(self) -> Response:
        """The empty answer with status 304."""
        return Response(status_code=304, headers=self.headers)


def set_etag(request: Request, response: Response, labels: Labels) -> None:
    """Set the ETag to the id of the library's state; raise NotModified when the client has it."""
    headers = {"ETag": f'"{labels.run}"', "Cache-Control": "no-cache"}
    client_tags = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if client_tags & {headers["ETag"], "*"}:
        raise NotModified(headers)
    response.headers.update(headers)
