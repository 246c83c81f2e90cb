"""Who may have a model run: whoever reaches the app, or those who know the token in its settings.

A program sends the token with each request. A browser gives it once, at /sign-in, and keeps a cookie that is made of
it: what is stored there is no token, and is worth nothing once the token is another. All comparing takes the same time
whatever is sent. Knows nothing of what is guarded.
"""

import hashlib
import hmac

from fastapi import Request
from fastapi.responses import Response

from app.errors import Problem
from neuronym.access import admits, reveal
from neuronym.settings import Settings

COOKIE = "neuronym"
DAYS = 30  # that a browser stays signed in
_PURPOSE = b"neuronym cookie 1"


class NotPermitted(Problem):
    """The token is asked for and was not given, or another one was."""

    status = 401

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors, headers={"WWW-Authenticate": "Bearer"})


def check(request: Request) -> None:
    """NotPermitted: a token is needed and the request has none, or the wrong one."""
    settings, authorization = _settings(request), request.headers.get("Authorization")
    if authorization is not None:
        if not admits(settings.token, authorization):
            raise NotPermitted("This is not the token of this server. Look up NEURONYM_TOKEN where it runs.")
    elif not _remembered(request, reveal(settings.token)):
        raise NotPermitted(
            "This server asks for its token. Sign in at /sign-in, or send it in the header Authorization: Bearer TOKEN."
        )


def permits(request: Request) -> bool:
    """Whether `check` would let the request pass."""
    try:
        check(request)
    except NotPermitted:
        return False
    return True


def _remembered(request: Request, token: str | None) -> bool:
    """Whether the browser has the cookie, or needs none."""
    return token is None or hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), _kept(token).encode())


def sign_in(response: Response, request: Request, sent: str) -> bool:
    """Give the browser its cookie if `sent` is the token; whether it is."""
    settings = _settings(request)
    token = reveal(settings.token)
    if token is None or not admits(settings.token, f"Bearer {sent}"):
        return False
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, _kept(token), DAYS * 86_400, httponly=True, samesite="lax", secure=secure)
    return True


def guarded(request: Request) -> bool:
    """Whether there is a token to know."""
    return _settings(request).token is not None


def _kept(token: str) -> str:
    """What a browser keeps."""
    return hmac.new(token.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
