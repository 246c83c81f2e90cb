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
from app.labelfile.library import Library
from app.pages.charts.sweep import curve_charts
from app.pages.home import first_model
from app.pages.playground.add_concept import add_concept
from app.pages.playground.context import CountPart, ObstaclePart, RowNamePart, fill_page, row_name
from app.pages.playground.outcome import Aside, GentlerRun, finished_run
from app.pages.playground.requests import reword_refusal, to_request, to_sweep
from app.pages.playground.scripts import scripts
from app.pages.playground.state import ClampRow, Composition, from_address, from_form
from app.pages.playground.stream import RunWriter
from app.pages.playground.token_count import count_tokens
from app.pages.playground.watch import watched_tokens
from app.steering.clamp import EventStream, Worker, clamp, clamp_events, obstacle
from app.steering.sweep import sweep
from app.web.auth import guarded
from neuronym.contract import ClampRequest

router = APIRouter(include_in_schema=False)

LONGEST_HEADER = 16_000  # characters of an address that a server and a browser still take


async def _obstacle(request: Request, labels: Labels, worker: Worker) -> str | None:
    return await obstacle(worker, request.query_params.get("model") or first_model(labels))


@router.get(urls.PLAYGROUND)
def filled_in(request: Request, labels: Labels, obstacle_text: Annotated[str | None, Depends(_obstacle)]) -> Response:
    """Show the form as the address fills it in; run nothing. For htmx it is the input alone."""
    composition = from_address(request.query_params, labels.models)
    context = fill_page(labels, composition)
    context = replace(context, focus="text" if is_partial(request) else None, obstacle=obstacle_text)
    return page(request, context, block="input", headers=_replace_url(composition))


@router.post(urls.PLAYGROUND)
async def submitted(request: Request, labels: Labels, worker: Worker) -> Response:
    """Run the form or change its rows, depending on the button that was pressed."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Problem("This form is only taken from Neuronym's own page.", status=403)
    form = await request.form()
    act, composition = str(form.get("act", "run")), from_form(form)
    if act in ("run", "sweep"):
        return await _run(request, labels, worker, composition, act)
    if act == "count":
        return HTMLResponse(fragment(CountPart(count=await count_tokens(labels, worker, composition))))
    if act == "obstacle":
        return HTMLResponse(fragment(ObstaclePart(obstacle=await obstacle(worker, composition.model))))
    if act == "concept":
        return await run_in_threadpool(_add_concept, request, labels, composition, str(form.get("concept", "")))
    return await run_in_threadpool(_change_form, request, labels, composition, act)


def _add_concept(request: Request, labels: Library, composition: Composition, concept: str) -> Response:
    """Add the neurons of a concept, or explain beside the field why there are none."""
    try:
        changed = add_concept(labels, composition, concept)
    except Problem as problem:
        context = replace(fill_page(labels, composition), concept=concept, concept_problem=str(problem))
        return page(request, context, block="clamps")
    if not is_partial(request) and len(changed.link()) < LONGEST_HEADER:
        return RedirectResponse(changed.link(), 303)
    return page(request, fill_page(labels, changed), block="clamps")


def _change_form(request: Request, labels: Library, composition: Composition, act: str) -> Response:
    """Add or remove a row or a turn, look the rows up for another model, or show the names of one row's neuron."""
    verb, _, position = act.partition("-")
    number = int(position) if position.isdecimal() else 0
    if verb == "name" and is_partial(request):
        row = composition.rows[number] if number < len(composition.rows) else ClampRow()
        return HTMLResponse(fragment(RowNamePart(named=row_name(labels, composition.model, row), at=number)))
    changed, block, focus = _change(composition, verb, number)
    if not is_partial(request) and len(changed.link()) < LONGEST_HEADER:
        return RedirectResponse(changed.link(), 303)
    return page(request, replace(fill_page(labels, changed), focus=focus), block=block)


def _change(composition: Composition, verb: str, number: int) -> tuple[Composition, str, int | str | None]:
    """The changed form, the block of the page that shows it, and the field to fill in next."""
    match verb:
        case "add":
            return composition.with_row(), "clamps", len(composition.rows)
        case "remove":
            return composition.without_row(number), "clamps", None
        case "turn":
            return composition.with_answer(), "input", "assistant"
        case "drop":
            return composition.without_turn(number), "input", "text"
        case _:
            return composition, "clamps", None


async def _run(request: Request, labels: Library, worker: Worker, composition: Composition, act: str) -> Response:
    """Run a clamp or a sweep; a problem is shown on the page, in place of the outcome."""
    try:
        if act == "sweep":
            return await _run_sweep(request, labels, worker, composition)
        clamp_request = await run_in_threadpool(_clamp_request, labels, composition)
        if is_partial(request) and "text/event-stream" in request.headers.get("Accept", ""):
            return await _stream(request, labels, worker, composition, clamp_request)
        done = finished_run(await clamp(labels, worker, clamp_request), _aside(request, composition, clamp_request))
        context = replace(await run_in_threadpool(fill_page, labels, composition), done=done)
        return page(request, context, block="run")
    except Problem as problem:
        refusal = reword_refusal(problem.answer(), composition)
        context = await run_in_threadpool(fill_page, labels, composition)
        context = replace(context, problem=refusal, then=composition.link())
        return page(request, context, block="run", status=problem.status, headers=problem.headers)


async def _run_sweep(request: Request, labels: Library, worker: Worker, composition: Composition) -> Response:
    sweep_request = to_sweep(composition, await run_in_threadpool(watched_tokens, labels, composition))
    answer = await sweep(labels, worker, sweep_request)
    context = await run_in_threadpool(fill_page, labels, composition)
    context = replace(context, sweep=answer, charts=curve_charts(answer), sweeping=True)
    return page(request, context, block="run", headers=_replace_url(composition))


def _aside(request: Request, composition: Composition, clamp_request: ClampRequest) -> Aside:
    """The scripts, gentler values and replies that are shown beside a run."""

    def reply(answer: str) -> str | None:
        """The address of the chat that continues an answer; None where it is too long, or the input is no chat."""
        link = composition.with_answer(answer).link()
        return link if composition.kind == "chat" and len(link) < LONGEST_HEADER else None

    return Aside(scripts(clamp_request, str(request.base_url), guarded(request)), _gentler(composition), reply)


def _gentler(composition: Composition) -> GentlerRun | None:
    """The run with every value halfway back to no change; None if no value is a number."""
    gentler = composition.gentler()
    if gentler is None:
        return None
    changed = [new for new, old in zip(gentler.rows, composition.rows, strict=True) if new != old]
    words = f"{changed[0].neuron} at {changed[0].value}" if len(changed) == 1 else "values halfway back to none"
    return GentlerRun(gentler.link(), words)


def _replace_url(composition: Composition) -> dict[str, str]:
    """The header that makes the run's address the address of the browser; empty if it is too long."""
    link = composition.link()
    return {"HX-Replace-Url": link} if len(link) < LONGEST_HEADER else {}


def _clamp_request(labels: Library, composition: Composition) -> ClampRequest:
    return to_request(composition, watched_tokens(labels, composition))


async def _stream(
    request: Request, labels: Library, worker: Worker, composition: Composition, clamp_request: ClampRequest
) -> Response:
    events = await clamp_events(labels, worker, clamp_request.model_copy(update={"stream": True}))
    response = EventStream(events, RunWriter(clamp_request.baseline, _aside(request, composition, clamp_request)))
    response.headers["Vary"] = VARY
    response.headers.update(_replace_url(composition))
    return response
