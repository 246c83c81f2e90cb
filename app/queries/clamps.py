"""Check clamps against the mapped model, and turn values in units of a neuron's own range into raw values."""

from collections.abc import Sequence

import sqlalchemy as sa

from app.errors import Unprocessable
from app.labelfile.library import Library
from app.queries.lookup import find_model
from neuronym.contract import Clamp, ClampRequest, Mode, ModelSummary, Site, SweepRequest
from neuronym.label_tables import QUANTILES
from neuronym.neuron_name import NeuronName

HIGH = QUANTILES.index(0.999)  # the place in QUANTILES of a neuron's unit: the high end of its range


def check_clamps(labels: Library, request: ClampRequest) -> ClampRequest:
    """Check a request and return it with raw values.

    NotFound names the mapped models, Unprocessable the range of a clamp's field.
    """
    model = find_model(labels, request.model)
    errors = [error for place, clamp in enumerate(request.clamps) for error in _clamp_errors(model, place, clamp)]
    if request.messages is not None and not model.chat:
        errors.append(f"messages: {model.name} has no chat template; send `prompt`.")
    if errors:
        raise Unprocessable(*errors)
    if request.unit == "raw":
        return request
    return request.model_copy(update={"unit": "raw", "clamps": _raw_clamps(labels, model, request.clamps)})


def check_sweep(labels: Library, request: SweepRequest) -> list[SweepRequest]:
    """Check a sweep and return it with raw values, once for each model that is swept.

    With `pair`, the other model of the first pair is swept too. Errors are those of `check_clamps`, and Unprocessable
    for a model without a pair.
    """
    names = [request.model]
    if request.pair:
        find_model(labels, request.model)
        pairs = labels.holdings.pairs_of(request.model)
        if not pairs:
            raise Unprocessable(f"pair: {request.model} is in no pair; leave it out.")
        names.append(pairs[0].other(request.model))
    return [_check_model_sweep(labels, request.model_copy(update={"model": name})) for name in names]


def _check_model_sweep(labels: Library, request: SweepRequest) -> SweepRequest:
    """Check one model's sweep: the swept clamp is checked at value 1, and its raw value multiplies all values."""
    place = request.clamp
    clamps = list(request.clamps)
    clamps[place] = clamps[place].model_copy(update={"value": 1.0})
    unit_request = check_clamps(
        labels,
        ClampRequest(
            model=request.model, prompt=request.prompt, messages=request.messages, clamps=clamps, unit=request.unit
        ),
    )
    values = [value * unit_request.clamps[place].value for value in request.swept()]
    return request.model_copy(update={"unit": "raw", "clamps": unit_request.clamps, "values": values, "pair": False})


def _clamp_errors(model: ModelSummary, place: int, clamp: Clamp) -> list[str]:
    """What is wrong with the clamp at this place of a request, a sentence for each field."""
    field, errors = f"clamps.{place}", []
    if clamp.layer >= model.layers:
        errors.append(f"{field}.layer: {clamp.layer} is not one of {model.name}'s layers, 0 to {model.layers - 1}.")
    if clamp.index >= model.neurons:
        errors.append(f"{field}.index: {clamp.index} is not one of {model.name}'s neurons, 0 to {model.neurons - 1}.")
    if clamp.site is Site.gate and not model.gated:
        errors.append(f"{field}.site: the MLP of {model.name} is ungated; its sites are up and act.")
    return errors


def _raw_clamps(labels: Library, model: ModelSummary, clamps: Sequence[Clamp]) -> list[Clamp]:
    """Clamps with values times the unit of their neuron; a factor (mode scale) has no unit and stays as it is."""
    unit_of = units(labels, model, clamps)
    missing = [
        f"clamps.{place}: the range of {NeuronName(clamp.layer, clamp.index)} at site {clamp.site.value} is not "
        "measured, so no value can be given in units of it. Run `make map`, or send unit raw."
        for place, clamp in enumerate(clamps)
        if clamp.mode is not Mode.scale and (clamp.site, clamp.layer, clamp.index) not in unit_of
    ]
    if missing:
        raise Unprocessable(*missing)
    return [
        clamp
        if clamp.mode is Mode.scale
        else clamp.model_copy(update={"value": clamp.value * unit_of[clamp.site, clamp.layer, clamp.index]})
        for clamp in clamps
    ]


def units(labels: Library, model: ModelSummary, clamps: Sequence[Clamp]) -> dict[tuple[Site, int, int], float]:
    """The high end of each clamped neuron's own range by (site, layer, index); unmeasured neurons are left out."""
    columns = labels.tables(model.name).activity.c
    neurons = [
        sa.and_(columns.site == clamp.site, columns.layer == clamp.layer, columns.neuron == clamp.index)
        for clamp in clamps
    ]
    if not neurons:
        return {}
    statement = sa.select(columns.site, columns.layer, columns.neuron, columns.quantiles).where(sa.or_(*neurons))
    with labels.connect() as connection:
        return {(row.site, row.layer, row.neuron): row.quantiles[HIGH] for row in connection.execute(statement)}
