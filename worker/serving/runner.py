"""The models, the thread they live on and the queue for it, as one: what the HTTP service serves.

Knows who waits for whom; knows nothing of HTTP. What a run does is `generation`'s business.
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
from worker.serving.metrics import Metrics, Outcome
from worker.serving.queue import Place, Turns
from worker.steering.generation import ClampPlan, generate, plan_clamp
from worker.steering.models import LiveModel, LiveModels, Opener
from worker.steering.sweep import plan_sweep, sweep
from worker.steering.thread import ModelThread

log = logging.getLogger(__name__)
VERSION = version("neuronym")
LOOK = 0.5  # seconds between looks at a model that is loading


class Runner:
    """Runs clamps one after another.

    Raises:
        ValueError: the device in the settings is not there.
    """

    def __init__(self, settings: Settings, models: Mapping[str, Opener]) -> None:
        device = choose_device(settings.device)
        self.models = LiveModels(models, device, model_memory(settings, device))
        self.thread = ModelThread(settings.threads, self.models.shrink)
        self.turns = Turns(settings.queue)
        self.metrics = Metrics()

    def status(self) -> WorkerStatus:
        """What the worker does at this moment."""
        return WorkerStatus(
            version=VERSION,
            device=str(self.models.device),
            models=self.models.status(),
            running=self.turns.running,
            waiting=self.turns.waiting,
            capacity=self.turns.room + 1,
        )

    async def warm_up(self) -> None:
        """Load the first model that can be had."""
        for name in self.models.names:
            try:
                await self.thread.run(self.models.get, name)
            except Exception as error:
                foreseen = isinstance(error, CheckpointError)
                log.warning("%s could not be loaded: %s", name, error, exc_info=None if foreseen else error)
            else:
                return

    async def live(self, name: str, place: Place) -> LiveModel:
        """The model; loading it waits for its turn like any work."""
        if ready := self.models.ready(name):
            return ready
        await place.turn()
        return await self.thread.run(self.models.get, name)

    async def plan(self, request: ClampRequest) -> ClampPlan | None:
        """The request, checked against its model; None while that is not loaded."""
        live = self.models.ready(request.model)
        return await asyncio.to_thread(plan_clamp, request, live) if live else None

    async def run(
        self, request: ClampRequest, planned: ClampPlan | None, place: Place
    ) -> AsyncGenerator[list[ClampEvent]]:
        """Wait, load, run, and give the place up; the events of one step at a time.

        Closing it ends the run after the step it is in.
        """
        outcome: Outcome = "left"
        with ExitStack() as ending:
            ending.callback(lambda: self.metrics.ended(outcome))
            ending.callback(self.turns.leave, place)  # not when the answer has been read, which may take forever
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

    async def sweep(self, request: SweepRequest, place: Place) -> SweepCurve:
        """Wait for the turn, and run a sweep. The place is left by whoever admitted it."""
        planned = await asyncio.to_thread(plan_sweep, request, await self.live(request.model, place))
        await place.turn()
        live = await self.thread.run(self.models.get, request.model)
        return await self.thread.run(sweep, planned, live)

    def _count(self, events: list[ClampEvent]) -> None:
        self.metrics.tokens.inc(sum(isinstance(event, ClampToken) for event in events))
        self.metrics.seconds.inc(sum(event.seconds for event in events if isinstance(event, ClampEnd)))
