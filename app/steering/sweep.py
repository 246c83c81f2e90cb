"""Sweeps: one clamp at many values, on a model or on both of its pair, by the worker.

Knows nothing of torch or of HTML. The JSON route, the command line and the playground come to the same function.
"""

from starlette.concurrency import run_in_threadpool

from app.labelfile.label_file import LabelFile
from app.queries.clamps import check_sweep
from app.steering.clamp import Steering
from app.steering.worker_client import understood
from neuronym.contract import SweepAnswer, SweepCurve, SweepRequest
from neuronym.neuron_name import NeuronName

_SWEEP = "/v1/sweep"


async def sweep(labels: LabelFile, worker: Steering, request: SweepRequest) -> SweepAnswer:
    """The curves. Problem: unknown model (404), bad range (422), worker busy or away (503, Retry-After)."""
    asked = await run_in_threadpool(check_sweep, labels, request)
    clamp = request.clamps[request.clamp]
    return SweepAnswer(
        run=labels.run,
        neuron=str(NeuronName(clamp.layer, clamp.index)),
        site=clamp.site,
        mode=clamp.mode,
        unit=request.unit,
        values=request.swept(),
        curves=[await _curve(worker, one) for one in asked],
    )


async def _curve(worker: Steering, asked: SweepRequest) -> SweepCurve:
    return understood(await worker.post(_SWEEP, asked), SweepCurve)
