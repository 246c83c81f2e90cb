"""Tables of measurements on the running model."""

import sqlalchemy as sa

from neuronym.contract import Direction, Site
from neuronym.label_tables.codes import Coded
from neuronym.label_tables.columns import metadata, neuron_key

activity = sa.Table(  # sorted by (site, layer, expert, neuron)
    "activity",
    metadata,
    sa.Column("site", Coded(Site), nullable=False),
    *neuron_key(),
    sa.Column("quantiles", sa.ARRAY(sa.REAL), nullable=False),  # at QUANTILES
    sa.Column("fires", sa.REAL),  # share of positions beyond a tenth of the range
    sa.Column("contexts", sa.String),  # JSON: short texts around the strongest positions
)

effect = sa.Table(  # sorted by (site, direction, layer, expert, neuron); lists run over labels, see `label_place`
    "effect",
    metadata,
    sa.Column("site", Coded(Site), nullable=False),
    sa.Column("direction", Coded(Direction), nullable=False),
    *neuron_key(),
    sa.Column("value", sa.REAL, nullable=False),
    sa.Column("tokens", sa.ARRAY(sa.Integer), nullable=False),  # -1: the model has no such label
    sa.Column("deltas", sa.ARRAY(sa.REAL), nullable=False),  # null where the model has no such label
    sa.Column("controls", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("ranks", sa.ARRAY(sa.Integer), nullable=False),  # -1 where the model has no such label
    sa.Column("kl", sa.REAL, nullable=False),
    sa.Column("moved", sa.Integer, nullable=False),
    sa.Column("moved_delta", sa.REAL, nullable=False),
)

measurement = sa.Table(  # a measurement as a whole: settings and result
    "measurement",
    metadata,
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("settings", sa.String, nullable=False),
    sa.Column("result", sa.String, nullable=False),
    sa.Column("measured_at", sa.String, nullable=False),
    sa.Column("seconds", sa.REAL, nullable=False),
)
