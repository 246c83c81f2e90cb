"""The runner behind the HTTP service: live models, the thread that they run on, and the queue for it.

Knows the queue; knows nothing of HTTP. `steering.generation` knows what a run does.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack
from importlib.metadata import version

from neuronym.contract import (
    ClampEnd,
    ClampEvent,
    ClampRequest,
    ClampToken,
    ClampWaiting,
    SweepCurve,
    SweepRequest,
    WorkerStatus,
)
from neuronym.settings import Settings
from worker.errors import CheckpointError, RequestError
from worker.machine.device import choose_device, model_memory
from worker.serving.metrics import RunOutcome, WorkerMetrics
from worker.serving.queue import QueuePlace, RunQueue
from worker.steering.generation import ClampPlan, generate, plan_clamp
from worker.steering.models import LiveModel, LiveModels, Opener
from worker.steering.sweep import plan_sweep, sweep
from worker.steering.thread import ModelThread

log = logging.getLogger(__name__)
VERSION = version("neuronym")
LOOK = 0.5  # seconds between reports on a model that is loading
LOOK_AGAIN = 1.0  # seconds between looks for a first model


class Runner:
    """Run clamps and sweeps one after another.

    Raises:
        ValueError: the machine lacks the device in the settings.
    """

    def __init__(self, settings: Settings, models: Mapping[str, Opener]) -> None:
        device = choose_device(settings.device)
        self.models = LiveModels(models, device, model_memory(settings, device))
        self.thread = ModelThread(settings.threads, self.models.shrink)
        self.queue = RunQueue(settings.queue)
        self.metrics = WorkerMetrics()

    def status(self) -> WorkerStatus:
        """The worker's status now: device, models, and the length of the queue."""
        return WorkerStatus(
            version=VERSION,
            device=str(self.models.device),
            models=self.models.status(),
            running=self.queue.running,
            waiting=self.queue.waiting,
            capacity=self.queue.room + 1,
        )

    async def warm_up(self) -> None:
        """Load the first model that can be loaded, once there is one."""
        while not self.models.names:
            await asyncio.sleep(LOOK_AGAIN)
        for name in self.models.names:
            try:
                await self.thread.run(self.models.get, name)
            except Exception as error:
                foreseen = isinstance(error, CheckpointError)
                log.warning("%s could not be loaded: %s", name, error, exc_info=None if foreseen else error)
            else:
                return

    async def live(self, name: str, place: QueuePlace) -> LiveModel:
        """The live model of this name; one that is not loaded is loaded when `place` is the first."""
        if ready := self.models.ready(name):
            return ready
        await place.turn()
        return await self.thread.run(self.models.get, name)

    async def plan(self, request: ClampRequest) -> ClampPlan | None:
        """Check the request against its model and plan its run; None if the model is not loaded."""
        live = self.models.ready(request.model)
        return await asyncio.to_thread(plan_clamp, request, live) if live else None

    async def run(
        self, request: ClampRequest, planned: ClampPlan | None, place: QueuePlace
    ) -> AsyncGenerator[list[ClampEvent]]:
        """Wait for the turn, load the model, run, and leave the place; yield the events of one step at a time.

        Closing the generator ends the run after its current step.
        """
        outcome: RunOutcome = "left"
        with ExitStack() as ending:
            ending.callback(lambda: self.metrics.count_clamp(outcome))
            ending.callback(self.queue.leave, place)  # now, since a client may take forever to read the answer
            try:
                while position := place.position:
                    yield [ClampWaiting(model=request.model, position=position)]
                    await place.move()
                loading = asyncio.ensure_future(self.thread.run(self.models.get, request.model))
                ending.callback(loading.cancel)
                while self.models.ready(request.model) is None and not loading.done():
                    yield [ClampWaiting(model=request.model, position=0, loading=self.models.loaded(request.model))]
                    await asyncio.wait({loading}, timeout=LOOK)
                live = await loading
                if planned is None:
                    planned = await asyncio.to_thread(plan_clamp, request, live)
                steps = generate(planned, live)
                ending.callback(self.thread.close, steps)
                while (events := await self.thread.run(next, steps, None)) is not None:
                    self._count(events)
                    yield events
                outcome = "done"
            except RequestError:
                outcome = "refused"
                raise
            except Exception:
                outcome = "failed"
                raise

    async def sweep(self, request: SweepRequest, place: QueuePlace) -> SweepCurve:
        """Wait for the turn, and run a sweep. The caller leaves the place."""
        planned = await asyncio.to_thread(plan_sweep, request, await self.live(request.model, place))
        await place.turn()
        live = await self.thread.run(self.models.get, request.model)
        return await self.thread.run(sweep, planned, live)

    def _count(self, events: list[ClampEvent]) -> None:
        self.metrics.tokens.inc(sum(isinstance(event, ClampToken) for event in events))
        self.metrics.seconds.inc(sum(event.seconds for event in events if isinstance(event, ClampEnd)))
