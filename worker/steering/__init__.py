"""Generation with clamped neurons on a live model."""
