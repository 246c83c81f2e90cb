"""Is this clamp one that the mapped model can take? And what is a value given in units of the neuron's own range?"""

from collections.abc import Sequence

import sqlalchemy as sa

from app.errors import Unprocessable
from app.labelfile.label_file import LabelFile
from app.queries.lookup import find_model
from neuronym.contract import Clamp, ClampRequest, Mode, ModelSummary, Site, SweepRequest
from neuronym.label_tables import QUANTILES, activity
from neuronym.neuron_name import NeuronName

HIGH = QUANTILES.index(0.999)  # the end of a neuron's range that a unit of it is


def checked(labels: LabelFile, request: ClampRequest) -> ClampRequest:
    """The request with raw values. NotFound names the mapped models, Unprocessable the range of a clamp's field."""
    model = find_model(labels, request.model)
    errors = [error for place, clamp in enumerate(request.clamps) for error in _errors(model, place, clamp)]
    if request.messages is not None and not model.chat:
        errors.append(f"messages: {model.name} has no chat template; send `prompt`.")
    if errors:
        raise Unprocessable(*errors)
    if request.unit == "raw":
        return request
    return request.model_copy(update={"unit": "raw", "clamps": _in_raw(labels, model, request.clamps)})


def swept(labels: LabelFile, request: SweepRequest) -> list[SweepRequest]:
    """A sweep with raw values for the model, and with `pair` for the other of its first pair; refused as `checked`."""
    names = [request.model]
    if request.pair:
        find_model(labels, request.model)
        pairs = labels.holdings.pairs_of(request.model)
        if not pairs:
            raise Unprocessable(f"pair: {request.model} is in no pair; leave it out.")
        names.append(pairs[0].other(request.model))
    return [_swept(labels, request.model_copy(update={"model": name})) for name in names]


def _swept(labels: LabelFile, request: SweepRequest) -> SweepRequest:
    """One model's sweep: what the value 1 of the swept clamp comes to is the unit of all values."""
    place = request.clamp
    clamps = list(request.clamps)
    clamps[place] = clamps[place].model_copy(update={"value": 1.0})
    asked = checked(
        labels,
        ClampRequest(
            model=request.model, prompt=request.prompt, messages=request.messages, clamps=clamps, unit=request.unit
        ),
    )
    values = [value * asked.clamps[place].value for value in request.swept()]
    return request.model_copy(update={"unit": "raw", "clamps": asked.clamps, "values": values, "pair": False})


def _errors(model: ModelSummary, place: int, clamp: Clamp) -> list[str]:
    where, errors = f"clamps.{place}", []
    if clamp.layer >= model.layers:
        errors.append(f"{where}.layer: {clamp.layer} is not one of {model.name}'s layers, 0 to {model.layers - 1}.")
    if clamp.index >= model.neurons:
        errors.append(f"{where}.index: {clamp.index} is not one of {model.name}'s neurons, 0 to {model.neurons - 1}.")
    if clamp.site is Site.gate and not model.gated:
        errors.append(f"{where}.site: the MLP of {model.name} is ungated; its sites are up and act.")
    return errors


def _in_raw(labels: LabelFile, model: ModelSummary, clamps: Sequence[Clamp]) -> list[Clamp]:
    """Values times the high end of what each neuron does on text; a factor (mode scale) has no unit."""
    own = units(labels, model, clamps)
    missing = [
        f"clamps.{place}: the range of {NeuronName(clamp.layer, clamp.index)} at site {clamp.site.value} is not "
        "measured, so no value can be given in units of it. Run `make map`, or send unit raw."
        for place, clamp in enumerate(clamps)
        if clamp.mode is not Mode.scale and (clamp.site, clamp.layer, clamp.index) not in own
    ]
    if missing:
        raise Unprocessable(*missing)
    return [
        clamp
        if clamp.mode is Mode.scale
        else clamp.model_copy(update={"value": clamp.value * own[clamp.site, clamp.layer, clamp.index]})
        for clamp in clamps
    ]


def units(labels: LabelFile, model: ModelSummary, clamps: Sequence[Clamp]) -> dict[tuple[Site, int, int], float]:
    """The high end of each clamped neuron's own range, where it is measured."""
    here = activity.c
    places = [sa.and_(here.site == one.site, here.layer == one.layer, here.neuron == one.index) for one in clamps]
    if not places:
        return {}
    found = sa.select(here.site, here.layer, here.neuron, here.quantiles).where(
        here.model == labels.holdings.model_ids[model.name], sa.or_(*places)
    )
    with labels.connect() as connection:
        return {(row.site, row.layer, row.neuron): row.quantiles[HIGH] for row in connection.execute(found)}
