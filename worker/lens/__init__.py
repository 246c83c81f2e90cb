"""Weights to labels: rows decoded through the LM head, exactly, and what chance alone would give."""
