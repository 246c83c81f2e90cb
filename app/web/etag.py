"""The label file's id as ETag, and the answer for one who has this very file's answer already."""

from fastapi import Request, Response

from app.labelfile.catalog import Labels


class NotModified(Exception):
    """The one who asks has this answer already."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers

    def answer(self) -> Response:
        """An empty answer that says so."""
        return Response(status_code=304, headers=self.headers)


def fresh(request: Request, response: Response, labels: Labels) -> None:
    """Name the label file as ETag; NotModified for one who has the answer from this very file."""
    headers = {"ETag": f'"{labels.run}"', "Cache-Control": "no-cache"}
    had = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if had & {headers["ETag"], "*"}:
        raise NotModified(headers)
    response.headers.update(headers)
