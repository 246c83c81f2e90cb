"""Tables of labels: by neuron, by token for searches, nearest neighbours, and comparisons of the models of a pair."""

import sqlalchemy as sa

from neuronym.contract import Lens, Side, Site, Strength, View
from neuronym.label_tables.codes import NAMED, Coded
from neuronym.label_tables.columns import metadata, neuron_key

label = sa.Table(  # sorted by (view, lens, layer, expert, neuron)
    "label",
    metadata,
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    *neuron_key(),
    sa.Column("top_ids", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("top_scores", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("bottom_ids", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("bottom_scores", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("norm", sa.REAL, nullable=False),
    sa.Column("mean", sa.REAL, nullable=False),
    sa.Column("std", sa.REAL, nullable=False),
    sa.Column("skew", sa.REAL),
    sa.Column("kurtosis", sa.REAL),  # excess
    sa.Column("logsumexp", sa.REAL),  # logit lens only
    sa.Column("z", sa.REAL, nullable=False),
    sa.Column("margin", sa.REAL, nullable=False),
    sa.Column("layer_z", sa.REAL),
    sa.Column("odd_share", sa.REAL),  # special, byte-piece and rare tokens among the top
    sa.Column("strength", Coded(Strength)),  # of the end that stands further out
)

label_by_token = sa.Table(  # sorted by (side, place, z descending): tokens that begin alike stand together
    "label_by_token",
    metadata,
    sa.Column("place", sa.Integer, nullable=False),  # of the token
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("side", Coded(Side), nullable=False),
    sa.Column("z", sa.REAL, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens)),  # null for names that are measured, which no lens decodes
    sa.Column("site", Coded(Site)),  # where a name was measured; null for names of weights
    *neuron_key(),
    sa.Column("rank", sa.SmallInteger, nullable=False),
    sa.Column("score", sa.REAL, nullable=False),
    *(sa.Column(f"top_{place}", sa.Integer) for place in range(NAMED)),  # the first tokens of the label
    *(sa.Column(f"bottom_{place}", sa.Integer) for place in range(NAMED)),  # and of its lowest end, in rows of that end
    sa.Column("layer_z", sa.REAL),
    sa.Column("strength", Coded(Strength)),  # of this end of the label
    sa.Column("effect", sa.REAL),  # on the first token at this end
)

neighbour = sa.Table(  # sorted by (view, layer, expert, neuron): nearest weight vectors of the same layer
    "neighbour",
    metadata,
    sa.Column("view", Coded(View), nullable=False),
    *neuron_key(),
    sa.Column("neurons", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("cosines", sa.ARRAY(sa.REAL), nullable=False),
)

drift = sa.Table(  # sorted by (view, lens, layer, expert, neuron)
    "drift",
    metadata,
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    *neuron_key(),
    sa.Column("cosine", sa.REAL, nullable=False),
    sa.Column("same_top", sa.Boolean, nullable=False),
    sa.Column("near_tie", sa.Boolean, nullable=False),
    sa.Column("base_margin", sa.REAL, nullable=False),
    sa.Column("instruct_margin", sa.REAL, nullable=False),
    sa.Column("overlap", sa.REAL, nullable=False),  # shared share of the top k
    sa.Column("base_rank", sa.SmallInteger),  # of the instruct top token in the base label; null: not among its top
    sa.Column("instruct_rank", sa.SmallInteger),
    *(sa.Column(f"base_{place}", sa.Integer) for place in range(NAMED)),  # the first tokens of both labels
    *(sa.Column(f"instruct_{place}", sa.Integer) for place in range(NAMED)),
)

agreement = sa.Table(  # one row a view, lens and group: all, a layer, or a strength
    "agreement",
    metadata,
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    sa.Column("layer", sa.SmallInteger),
    sa.Column("strength", Coded(Strength)),
    sa.Column("neurons", sa.Integer, nullable=False),
    sa.Column("agreement", sa.REAL, nullable=False),
    sa.Column("near_ties", sa.REAL, nullable=False),
    sa.Column("mean_cosine", sa.REAL, nullable=False),
    sa.Column("mean_overlap", sa.REAL, nullable=False),
)

concept = sa.Table(  # tokens that are the top of more neurons in one model of a pair than in the other
    "concept",
    metadata,
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("base_neurons", sa.Integer, nullable=False),
    sa.Column("instruct_neurons", sa.Integer, nullable=False),
)
