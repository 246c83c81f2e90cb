"""The lines by which a mapping run tells a program what it does; `neuronym-worker map --json --publish-early`."""

from pydantic import BaseModel

from neuronym.contract.words import View


class MappingStep(BaseModel):
    """The mapping of some views of a model; after each step what is mapped so far is published."""

    model: str
    views: list[View]


class MappingPlan(BaseModel):
    """All steps of a run, in order, and the pair that is compared at its end, if any."""

    steps: list[MappingStep]
    pair: str | None = None


class MappingStepBegun(BaseModel):
    """The place of the step that is at work in the plan."""

    step: int


class LayersMapped(BaseModel):
    """How many layers of the step at work are mapped, those mapped by an earlier run included."""

    layers_done: int
    layers: int


class BuildingBegun(BaseModel):
    """The layers of the step are mapped; their label file is being built."""

    building: str


class Published(BaseModel):
    """The id of the library's state, now that the step is published."""

    published: str


class MappingFailed(BaseModel):
    """Why the run ended before its end, in a sentence that names the mend."""

    failed: str


MappingLine = MappingPlan | MappingStepBegun | LayersMapped | BuildingBegun | Published | MappingFailed
