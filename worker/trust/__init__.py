"""The report on labels: by measured effect, which of them hold, how often, and by which recipe most."""
