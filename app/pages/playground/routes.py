"""The playground's routes: a GET fills in the form and never generates, a POST runs it, streamed where htmx asks."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from app.errors import Problem
from app.html import urls
from app.html.templates import VARY, fragment, is_partial, page
from app.labelfile.catalog import Labels
from app.labelfile.label_file import LabelFile
from app.pages.charts.sweep import curve_charts
from app.pages.home import first_model
from app.pages.playground.add_concept import with_concept
from app.pages.playground.context import CountPart, ObstaclePart, RowNamePart, filling, row_name
from app.pages.playground.outcome import Aside, Gentler, finished
from app.pages.playground.requests import in_words, to_request, to_sweep
from app.pages.playground.scripts import scripts
from app.pages.playground.state import Composition, Row, from_address, from_form
from app.pages.playground.stream import Unrolling
from app.pages.playground.token_count import counted
from app.pages.playground.watch import watched
from app.steering.clamp import EventStream, Worker, clamp, clamp_events, obstacle
from app.steering.sweep import sweep
from app.web.auth import guarded
from neuronym.contract import ClampRequest

router = APIRouter(include_in_schema=False)

LONGEST_HEADER = 16_000  # characters of an address that a server and a browser still take


async def _obstacle(request: Request, labels: Labels, worker: Worker) -> str | None:
    return await obstacle(worker, request.query_params.get("model") or first_model(labels))


@router.get(urls.PLAYGROUND)
def filled_in(request: Request, labels: Labels, stands: Annotated[str | None, Depends(_obstacle)]) -> Response:
    """The form as the address says; generates nothing. As a part it is the input alone, to go on with."""
    composition = from_address(request.query_params, labels.models)
    context = filling(labels, composition)
    context = replace(context, focus="text" if is_partial(request) else None, obstacle=stands)
    return page(request, context, block="input", headers=_replacing(composition))


@router.post(urls.PLAYGROUND)
async def submitted(request: Request, labels: Labels, worker: Worker) -> Response:
    """Run the form, or change its rows, by the button that was pressed."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Problem("This form is only taken from Neuronym's own page.", status=403)
    form = await request.form()
    act, composition = str(form.get("act", "run")), from_form(form)
    if act in ("run", "sweep"):
        return await _run(request, labels, worker, composition, act)
    if act == "count":
        return HTMLResponse(fragment(CountPart(count=await counted(labels, worker, composition))))
    if act == "obstacle":
        return HTMLResponse(fragment(ObstaclePart(obstacle=await obstacle(worker, composition.model))))
    if act == "concept":
        return await run_in_threadpool(_concept, request, labels, composition, str(form.get("concept", "")))
    return await run_in_threadpool(_changed, request, labels, composition, act)


def _concept(request: Request, labels: LabelFile, composition: Composition, concept: str) -> Response:
    """Add the neurons of a concept, or say in place why there are none."""
    try:
        changed = with_concept(labels, composition, concept)
    except Problem as problem:
        context = replace(filling(labels, composition), concept=concept, concept_problem=str(problem))
        return page(request, context, block="clamps")
    if not is_partial(request) and len(changed.link()) < LONGEST_HEADER:
        return RedirectResponse(changed.link(), 303)
    return page(request, filling(labels, changed), block="clamps")


def _changed(request: Request, labels: LabelFile, composition: Composition, act: str) -> Response:
    """Add or remove a row or a turn, look the rows up for another model, or say what one row's neuron is named."""
    verb, _, place = act.partition("-")
    at = int(place) if place.isdecimal() else 0
    if verb == "name" and is_partial(request):
        row = composition.rows[at] if at < len(composition.rows) else Row()
        return HTMLResponse(fragment(RowNamePart(named=row_name(labels, composition.model, row), at=at)))
    changed, block, focus = _change(composition, verb, at)
    if not is_partial(request) and len(changed.link()) < LONGEST_HEADER:
        return RedirectResponse(changed.link(), 303)
    return page(request, replace(filling(labels, changed), focus=focus), block=block)


def _change(composition: Composition, verb: str, at: int) -> tuple[Composition, str, int | str | None]:
    """What the form becomes, which block of the page shows it, and what is to be filled in next."""
    match verb:
        case "add":
            return composition.with_row(), "clamps", len(composition.rows)
        case "remove":
            return composition.without_row(at), "clamps", None
        case "turn":
            return composition.replied(), "input", "assistant"
        case "drop":
            return composition.without_turn(at), "input", "text"
        case _:
            return composition, "clamps", None


async def _run(request: Request, labels: LabelFile, worker: Worker, composition: Composition, act: str) -> Response:
    try:
        if act == "sweep":
            return await _swept(request, labels, worker, composition)
        asked = await run_in_threadpool(_asked, labels, composition)
        if is_partial(request) and "text/event-stream" in request.headers.get("Accept", ""):
            return await _streamed(request, labels, worker, composition, asked)
        done = finished(await clamp(labels, worker, asked), _aside(request, composition, asked))
        context = replace(await run_in_threadpool(filling, labels, composition), done=done)
        return page(request, context, block="run")
    except Problem as problem:
        refusal = in_words(problem.answer(), composition)
        context = await run_in_threadpool(filling, labels, composition)
        context = replace(context, problem=refusal, then=composition.link())
        return page(request, context, block="run", status=problem.status, headers=problem.headers)


async def _swept(request: Request, labels: LabelFile, worker: Worker, composition: Composition) -> Response:
    asked = to_sweep(composition, await run_in_threadpool(watched, labels, composition))
    answer = await sweep(labels, worker, asked)
    context = await run_in_threadpool(filling, labels, composition)
    context = replace(context, sweep=answer, charts=curve_charts(answer), sweeping=True)
    return page(request, context, block="run", headers=_replacing(composition))


def _aside(request: Request, composition: Composition, asked: ClampRequest) -> Aside:
    def reply(answer: str) -> str | None:
        """None where the chat has grown too long for an address."""
        link = composition.replied(answer).link()
        return link if composition.kind == "chat" and len(link) < LONGEST_HEADER else None

    return Aside(scripts(asked, str(request.base_url), guarded(request)), _gentler(composition), reply)


def _gentler(composition: Composition) -> Gentler | None:
    """Every value halfway back to no change; of a single clamp the value is said."""
    gentler = composition.gentler()
    if gentler is None:
        return None
    changed = [new for new, old in zip(gentler.rows, composition.rows, strict=True) if new != old]
    words = f"{changed[0].neuron} at {changed[0].value}" if len(changed) == 1 else "values halfway back to none"
    return Gentler(gentler.link(), words)


def _replacing(composition: Composition) -> dict[str, str]:
    """The header that puts a run's address into the browser."""
    link = composition.link()
    return {"HX-Replace-Url": link} if len(link) < LONGEST_HEADER else {}


def _asked(labels: LabelFile, composition: Composition) -> ClampRequest:
    return to_request(composition, watched(labels, composition))


async def _streamed(
    request: Request, labels: LabelFile, worker: Worker, composition: Composition, asked: ClampRequest
) -> Response:
    events = await clamp_events(labels, worker, asked.model_copy(update={"stream": True}))
    response = EventStream(events, Unrolling(asked.baseline, _aside(request, composition, asked)))
    response.headers["Vary"] = VARY
    response.headers.update(_replacing(composition))
    return response
