"""Signing in: a browser gives the token once. Knows the guard; knows nothing of what it guards."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from app.errors import NotFound
from app.html import urls
from app.html.templates import Page, page
from app.web import auth

router = APIRouter(include_in_schema=False)

WRONG = 1.0  # seconds that a wrong token waits for its answer


@dataclass(frozen=True, kw_only=True)
class SignInPage(Page):
    """The form; `then` is where it leads, `wrong`: another token was given, `private`: reading needs the token too."""

    template = "sign_in.html"
    then: str
    wrong: bool
    private: bool


@router.get(urls.SIGN_IN)
def asked(request: Request, then: str = urls.PLAYGROUND) -> Response:
    """The form. NotFound: this server has no token."""
    _needed(request)
    return _form(request, then)


@router.post(urls.SIGN_IN)
async def given(
    request: Request, token: Annotated[str, Form()] = "", then: Annotated[str, Form()] = urls.PLAYGROUND
) -> Response:
    """Back to where the reader came from, with a cookie; or the form once more."""
    _needed(request)
    response = RedirectResponse(_here(then), status_code=303)
    if auth.sign_in(response, request, token.strip()):
        return response
    await asyncio.sleep(WRONG)
    return _form(request, then, wrong=True)


def _form(request: Request, then: str, wrong: bool = False) -> Response:
    context = SignInPage(then=_here(then), wrong=wrong, private=request.app.state.settings.private)
    return page(request, context, status=401 if wrong else 200)


def _needed(request: Request) -> None:
    if not auth.guarded(request):
        raise NotFound("Nobody has to sign in here: this server has no token.")


def _here(then: str) -> str:
    """An address of this server: a link that is handed about must not send the reader elsewhere."""
    inside = then.startswith("/") and not then.startswith(("//", "/\\"))
    return then if inside and then.isprintable() else urls.PLAYGROUND
