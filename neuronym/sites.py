"""Which site of an MLP belongs to a view: by its weight vector, and by where its label is tried. The gate has two."""

from neuronym.contract import Site, View

# Where the view's weight vector is at work: the output of its projection, or the input of `down_proj`. What a person
# clamps to move what the view is about.
OWN_SITE = {View.up: Site.up, View.gate: Site.gate, View.down: Site.act}
VIEW_OF_SITE = {site: view for view, site in OWN_SITE.items()}

# Where clamping the neuron tells whether the view's label holds. A clamp of the gate leaves the sign of what is written
# to `up`, and raises the same token in one text that it lowers in another; so the gate's label is tried at `act`.
NATURAL_SITE = OWN_SITE | {View.gate: Site.act}
