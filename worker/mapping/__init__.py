"""Mapping: the layers of a model or a pair to shards; an interrupted run goes on where it stopped."""
