"""Programs for those who work on Neuronym; not in the wheel."""
