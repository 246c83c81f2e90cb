"""Which site of an MLP belongs to a view: that of its weight vector, and that at which its label is tested."""

from neuronym.contract import Site, View

# The site of the view's weight vector: the output of its projection, or for `down` the input of `down_proj`. A person
# clamps this site to act on what the view shows.
OWN_SITE = {View.up: Site.up, View.gate: Site.gate, View.down: Site.act}
VIEW_OF_SITE = {site: view for view, site in OWN_SITE.items()}

# The site at which a clamp tests whether the view's label holds. Clamping the gate leaves the sign of the output to
# `up`, so it raises a token in one text and lowers it in another; the gate's label is therefore tested at `act`.
NATURAL_SITE = OWN_SITE | {View.gate: Site.act}
