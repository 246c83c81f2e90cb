"""Access control: checks that a request carries the token in the settings, where one is set.

A program sends the token with each request. A browser sends it once, at /sign-in, and keeps a cookie derived from it:
the token cannot be read from the cookie, and the cookie is void once the token changes. Comparisons take the same time
whatever is sent. This module does not know which routes are guarded.
"""

import hashlib
import hmac

from fastapi import Request
from fastapi.responses import Response

from app.errors import Problem
from neuronym.access import admits, reveal
from neuronym.settings import Settings

COOKIE = "neuronym"
DAYS = 30  # for which a browser stays signed in
_PURPOSE = b"neuronym cookie 1"


class Unauthorized(Problem):
    """The request needs the token and has none, or a wrong one."""

    status = 401

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors, headers={"WWW-Authenticate": "Bearer"})


def check(request: Request) -> None:
    """Raise Unauthorized when the settings have a token and the request has none, or a wrong one."""
    settings, authorization = _settings(request), request.headers.get("Authorization")
    if authorization is not None:
        if not admits(settings.token, authorization):
            raise Unauthorized("This is not the token of this server. Look up NEURONYM_TOKEN where it runs.")
    elif not _has_cookie(request, reveal(settings.token)):
        raise Unauthorized(
            "This server asks for its token. Sign in at /sign-in, or send it in the header Authorization: Bearer TOKEN."
        )


def permits(request: Request) -> bool:
    """Return whether `check` lets the request pass."""
    try:
        check(request)
    except Unauthorized:
        return False
    return True


def _has_cookie(request: Request, token: str | None) -> bool:
    """Return whether the request has the cookie of this token, or there is no token."""
    return token is None or hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), _cookie_value(token).encode())


def sign_in(response: Response, request: Request, sent: str) -> bool:
    """Set the cookie on `response` if `sent` is the token; return whether it is."""
    settings = _settings(request)
    token = reveal(settings.token)
    if token is None or not admits(settings.token, f"Bearer {sent}"):
        return False
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, _cookie_value(token), DAYS * 86_400, httponly=True, samesite="lax", secure=secure)
    return True


def guarded(request: Request) -> bool:
    """Return whether the settings have a token."""
    return _settings(request).token is not None


def _cookie_value(token: str) -> str:
    """The cookie of a signed-in browser: a keyed hash, from which the token cannot be read."""
    return hmac.new(token.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
