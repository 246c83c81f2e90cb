"""Trains, measures and describes the stand-in for the demo's base model."""
