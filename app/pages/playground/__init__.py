"""The playground: a form for clamps, and the run that it starts."""
