"""The sign-in page, where a browser gives the access key once. Knows the guard; knows nothing of what it guards."""

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

WRONG_KEY_DELAY = 1.0  # seconds before a wrong access key is answered, against guessing


@dataclass(frozen=True, kw_only=True)
class SignInPage(Page):
    """The form; `then` is where it leads.

    `wrong` says that a wrong access key was given, `private` that reading needs the access key too.
    """

    template = "sign_in.html"
    then: str
    wrong: bool
    private: bool


@router.get(urls.SIGN_IN)
def asked(request: Request, then: str = urls.PLAYGROUND) -> Response:
    """Show the form. NotFound: this server has no access key."""
    _require_guard(request)
    return _form(request, then)


@router.post(urls.SIGN_IN)
async def given(
    request: Request, token: Annotated[str, Form()] = "", then: Annotated[str, Form()] = urls.PLAYGROUND
) -> Response:
    """Redirect to `then` with a cookie if the access key is right; else show the form again."""
    _require_guard(request)
    response = RedirectResponse(_local_address(then), status_code=303)
    if auth.sign_in(response, request, token.strip()):
        return response
    await asyncio.sleep(WRONG_KEY_DELAY)
    return _form(request, then, wrong=True)


def _form(request: Request, then: str, wrong: bool = False) -> Response:
    context = SignInPage(then=_local_address(then), wrong=wrong, private=request.app.state.settings.private)
    return page(request, context, status=401 if wrong else 200)


def _require_guard(request: Request) -> None:
    """Raise NotFound where this server has no access key."""
    if not auth.guarded(request):
        raise NotFound("Nobody has to sign in here: this server has no token.")


def _local_address(then: str) -> str:
    """`then` if it is an address of this server, else the playground: a link must not lead readers to another site."""
    is_local = then.startswith("/") and not then.startswith(("//", "/\\"))
    return then if is_local and then.isprintable() else urls.PLAYGROUND
