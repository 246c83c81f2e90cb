"""What is being mapped beside the app: how far that is, what comes next, or why it stopped, in sentences for people.

Made of the lines that a mapping run writes (`neuronym.contract.mapping`). Knows nothing of the process that writes
them, nor of pages.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from neuronym.contract import (
    BuildingBegun,
    LayersMapped,
    MappingFailed,
    MappingLine,
    MappingPlan,
    MappingStep,
    MappingStepBegun,
    View,
)

_LINE: TypeAdapter[MappingLine] = TypeAdapter(MappingLine)
ORDER = (View.gate, View.up, View.down)  # of views in a sentence: that of the computation
KILLED = -9


@dataclass(frozen=True)
class Mapping:
    """A mapping run, as far as its lines have told of it; `asked` is what it was asked to map."""

    asked: str
    plan: MappingPlan = field(default_factory=lambda: MappingPlan(steps=[]))
    at: int = 0  # the place of the step at work
    layers: LayersMapped | None = None
    building: bool = False
    failed: str | None = None

    def after(self, line: MappingLine) -> "Mapping":
        """The run after one more line."""
        match line:
            case MappingPlan():
                return replace(self, plan=line)
            case MappingStepBegun():
                return replace(self, at=line.step, layers=None, building=False)
            case LayersMapped():
                return replace(self, layers=line)
            case BuildingBegun():
                return replace(self, building=True)
            case MappingFailed():
                return replace(self, failed=line.failed)
        return self

    @property
    def now(self) -> str:
        """What is at work, or why nothing is."""
        if self.failed:
            return f"The mapping stopped: {self.failed}"
        step = self._step
        if step is None:
            return f"Opening {self.asked}, to map it."
        if self.building:
            return f"Mapping {step.model}: its {name_views(step.views)}, all layers; the names are made searchable."
        if self.layers is None:
            return f"Mapping {step.model}: its {name_views(step.views)}, the first layer."
        layer = min(self.layers.layers_done + 1, self.layers.layers)
        return f"Mapping {step.model}: its {name_views(step.views)}, layer {layer} of {self.layers.layers}."

    @property
    def later(self) -> str:
        """What comes next; empty if nothing does."""
        step = self._step
        if self.failed or step is None:
            return ""
        coming = [
            f"its {name_views(other.views)}" if other.model == step.model else other.model
            for other in self.plan.steps[self.at + 1 :]
        ]
        if self.plan.pair:
            coming.append("what differs between the two models of the pair")
        return f"Next: {', then '.join(coming)}." if coming else ""

    @property
    def share(self) -> float:
        """The share of all that is to be mapped that is mapped, from 0 to 1."""
        sizes = [len(step.views) for step in self.plan.steps]
        if not sizes:
            return 0.0
        of_step = 0.0 if self.layers is None else self.layers.layers_done / self.layers.layers
        return (sum(sizes[: self.at]) + sizes[self.at] * of_step) / sum(sizes)

    def lacking(self, model: str, mapped: Collection[View]) -> str | None:
        """Which views of a model in the library are still to come, in a sentence; None if none are."""
        views = [view for step in self.plan.steps if step.model == model for view in step.views if view not in mapped]
        if not views:
            return None
        when = "not mapped yet: the mapping stopped" if self.failed else "being mapped and will be here soon"
        return f"Its {name_views(views)} {'is' if len(views) == 1 else 'are'} {when}."

    @property
    def _step(self) -> MappingStep | None:
        return self.plan.steps[self.at] if self.at < len(self.plan.steps) else None


class MappingStatus:
    """The mapping run beside the app, if there is one or the last one failed. Of one writer and many readers."""

    def __init__(self) -> None:
        self.current: Mapping | None = None

    def begin(self, asked: str) -> None:
        """A run has been started that is to map `asked`."""
        self.current = Mapping(asked)

    def read(self, text: str) -> MappingLine | None:
        """Take up a line of the run's output, and return it; None if it tells nothing that is known here."""
        try:
            line = _LINE.validate_json(text)
        except ValidationError:
            return None
        if self.current is not None:
            self.current = self.current.after(line)
        return line

    def end(self, code: int) -> None:
        """The run has ended with this code: all is published, or it says why not."""
        if code == 0:
            self.current = None
        elif self.current is not None and self.current.failed is None:
            self.current = replace(self.current, failed=_ending(code))


def mapping_of(request: Request) -> Mapping | None:
    """The mapping run beside the app that has the request; None if nothing is being mapped and nothing failed."""
    status: MappingStatus = request.app.state.mapping
    return status.current


def name_views(views: Sequence[View]) -> str:
    """Name views in words: `down view`, or `gate and up views`."""
    *others, last = (view for view in ORDER if view in views)
    return f"{', '.join(others)} and {last} views" if others else f"{last} view"


def _ending(code: int) -> str:
    if code == KILLED:
        return "the system ended it, most often for want of memory. Start again, and it goes on where it was."
    return f"it ended with code {code}; the terminal of the server says why. Start again, and it goes on where it was."
