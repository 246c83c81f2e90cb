"""search rows by alphabet

Label files are never changed, so no migration changes one: those of earlier revisions are carried over, row by row,
into new ones. 0001 held a whole data folder in one file; 0002 had its search rows in the order of token ids.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("site", sa.SmallInteger(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("expert", sa.SmallInteger(), nullable=True),
        sa.Column("neuron", sa.Integer(), nullable=False),
        sa.Column("quantiles", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("fires", sa.REAL(), nullable=True),
        sa.Column("contexts", sa.String(), nullable=True),
    )
    op.create_table(
        "agreement",
        sa.Column("view", sa.SmallInteger(), nullable=False),
        sa.Column("lens", sa.SmallInteger(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=True),
        sa.Column("strength", sa.SmallInteger(), nullable=True),
        sa.Column("neurons", sa.Integer(), nullable=False),
        sa.Column("agreement", sa.REAL(), nullable=False),
        sa.Column("near_ties", sa.REAL(), nullable=False),
        sa.Column("mean_cosine", sa.REAL(), nullable=False),
        sa.Column("mean_overlap", sa.REAL(), nullable=False),
    )
    op.create_table(
        "build",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("built_at", sa.String(), nullable=False),
        sa.Column("versions", sa.String(), nullable=False),
    )
    op.create_table(
        "concept",
        sa.Column("view", sa.SmallInteger(), nullable=False),
        sa.Column("lens", sa.SmallInteger(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("base_neurons", sa.Integer(), nullable=False),
        sa.Column("instruct_neurons", sa.Integer(), nullable=False),
    )
    op.create_table(
        "drift",
        sa.Column("view", sa.SmallInteger(), nullable=False),
        sa.Column("lens", sa.SmallInteger(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("expert", sa.SmallInteger(), nullable=True),
        sa.Column("neuron", sa.Integer(), nullable=False),
        sa.Column("cosine", sa.REAL(), nullable=False),
        sa.Column("same_top", sa.Boolean(), nullable=False),
        sa.Column("near_tie", sa.Boolean(), nullable=False),
        sa.Column("base_margin", sa.REAL(), nullable=False),
        sa.Column("instruct_margin", sa.REAL(), nullable=False),
        sa.Column("overlap", sa.REAL(), nullable=False),
        sa.Column("base_rank", sa.SmallInteger(), nullable=True),
        sa.Column("instruct_rank", sa.SmallInteger(), nullable=True),
        sa.Column("base_0", sa.Integer(), nullable=True),
        sa.Column("base_1", sa.Integer(), nullable=True),
        sa.Column("base_2", sa.Integer(), nullable=True),
        sa.Column("base_3", sa.Integer(), nullable=True),
        sa.Column("base_4", sa.Integer(), nullable=True),
        sa.Column("instruct_0", sa.Integer(), nullable=True),
        sa.Column("instruct_1", sa.Integer(), nullable=True),
        sa.Column("instruct_2", sa.Integer(), nullable=True),
        sa.Column("instruct_3", sa.Integer(), nullable=True),
        sa.Column("instruct_4", sa.Integer(), nullable=True),
    )
    op.create_table(
        "effect",
        sa.Column("site", sa.SmallInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("expert", sa.SmallInteger(), nullable=True),
        sa.Column("neuron", sa.Integer(), nullable=False),
        sa.Column("value", sa.REAL(), nullable=False),
        sa.Column("tokens", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("deltas", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("controls", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("ranks", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("kl", sa.REAL(), nullable=False),
        sa.Column("moved", sa.Integer(), nullable=False),
        sa.Column("moved_delta", sa.REAL(), nullable=False),
    )
    op.create_table(
        "label",
        sa.Column("view", sa.SmallInteger(), nullable=False),
        sa.Column("lens", sa.SmallInteger(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("expert", sa.SmallInteger(), nullable=True),
        sa.Column("neuron", sa.Integer(), nullable=False),
        sa.Column("top_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("top_scores", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("bottom_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("bottom_scores", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("norm", sa.REAL(), nullable=False),
        sa.Column("mean", sa.REAL(), nullable=False),
        sa.Column("std", sa.REAL(), nullable=False),
        sa.Column("skew", sa.REAL(), nullable=True),
        sa.Column("kurtosis", sa.REAL(), nullable=True),
        sa.Column("logsumexp", sa.REAL(), nullable=True),
        sa.Column("z", sa.REAL(), nullable=False),
        sa.Column("margin", sa.REAL(), nullable=False),
        sa.Column("layer_z", sa.REAL(), nullable=True),
        sa.Column("odd_share", sa.REAL(), nullable=True),
        sa.Column("strength", sa.SmallInteger(), nullable=True),
    )
    op.create_table(
        "label_by_token",
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False),
        sa.Column("z", sa.REAL(), nullable=False),
        sa.Column("view", sa.SmallInteger(), nullable=False),
        sa.Column("lens", sa.SmallInteger(), nullable=True),
        sa.Column("site", sa.SmallInteger(), nullable=True),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("expert", sa.SmallInteger(), nullable=True),
        sa.Column("neuron", sa.Integer(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=False),
        sa.Column("top_0", sa.Integer(), nullable=True),
        sa.Column("top_1", sa.Integer(), nullable=True),
        sa.Column("top_2", sa.Integer(), nullable=True),
        sa.Column("top_3", sa.Integer(), nullable=True),
        sa.Column("top_4", sa.Integer(), nullable=True),
        sa.Column("bottom_0", sa.Integer(), nullable=True),
        sa.Column("bottom_1", sa.Integer(), nullable=True),
        sa.Column("bottom_2", sa.Integer(), nullable=True),
        sa.Column("bottom_3", sa.Integer(), nullable=True),
        sa.Column("bottom_4", sa.Integer(), nullable=True),
        sa.Column("layer_z", sa.REAL(), nullable=True),
        sa.Column("strength", sa.SmallInteger(), nullable=True),
        sa.Column("effect", sa.REAL(), nullable=True),
    )
    op.create_table(
        "measurement",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("settings", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("measured_at", sa.String(), nullable=False),
        sa.Column("seconds", sa.REAL(), nullable=False),
    )
    op.create_table(
        "model",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("source_hash", sa.String(), nullable=False),
        sa.Column("adapter", sa.String(), nullable=True),
        sa.Column("architecture", sa.String(), nullable=False),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column("neurons", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("vocab", sa.Integer(), nullable=False),
        sa.Column("gated", sa.Boolean(), nullable=False),
        sa.Column("tied", sa.Boolean(), nullable=False),
        sa.Column("chat", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("tokenizer", sa.String(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("versions", sa.String(), nullable=False),
        sa.Column("settings", sa.String(), nullable=False),
        sa.Column("mapped_at", sa.String(), nullable=False),
        sa.Column("mapped_in", sa.String(), nullable=False),
        sa.Column("seconds", sa.REAL(), nullable=False),
    )
    op.create_table(
        "neighbour",
        sa.Column("view", sa.SmallInteger(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("expert", sa.SmallInteger(), nullable=True),
        sa.Column("neuron", sa.Integer(), nullable=False),
        sa.Column("neurons", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("cosines", sa.ARRAY(sa.REAL()), nullable=False),
    )
    op.create_table(
        "pair",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("instruct", sa.String(), nullable=False),
        sa.Column("base_mapped_in", sa.String(), nullable=False),
        sa.Column("instruct_mapped_in", sa.String(), nullable=False),
        sa.Column("tokenizer", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("folded", sa.String(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
    )
    op.create_table(
        "tokenizer",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("vocab", sa.Integer(), nullable=False),
        sa.Column("json", sa.String(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tokenizer")
    op.drop_table("token")
    op.drop_table("pair")
    op.drop_table("neighbour")
    op.drop_table("model")
    op.drop_table("measurement")
    op.drop_table("label_by_token")
    op.drop_table("label")
    op.drop_table("effect")
    op.drop_table("drift")
    op.drop_table("concept")
    op.drop_table("build")
    op.drop_table("agreement")
    op.drop_table("activity")
