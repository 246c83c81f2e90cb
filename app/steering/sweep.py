"""Sweeps: has the worker run one clamp at many values, on one model or on both of a pair.

The JSON route, the command line and the playground call the same function.
"""

from starlette.concurrency import run_in_threadpool

from app.labelfile.library import Library
from app.queries.clamps import check_sweep
from app.steering.clamp import Steering
from app.steering.worker_client import parse_answer
from neuronym.contract import SweepAnswer, SweepCurve, SweepRequest
from neuronym.neuron_name import NeuronName

_SWEEP = "/v1/sweep"


async def sweep(labels: Library, worker: Steering, request: SweepRequest) -> SweepAnswer:
    """Run a sweep; return one curve for each model.

    Raises:
        Problem: unknown model (404), bad range (422), worker busy or away (503, Retry-After).
    """
    model_requests = await run_in_threadpool(check_sweep, labels, request)
    clamp = request.clamps[request.clamp]
    return SweepAnswer(
        run=labels.run,
        neuron=str(NeuronName(clamp.layer, clamp.index)),
        site=clamp.site,
        mode=clamp.mode,
        unit=request.unit,
        values=request.swept(),
        curves=[await _curve(worker, model_request) for model_request in model_requests],
    )


async def _curve(worker: Steering, request: SweepRequest) -> SweepCurve:
    return parse_answer(await worker.post(_SWEEP, request), SweepCurve)
