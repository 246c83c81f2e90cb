"""Rows to a label file: shards, the tables that follow from them, a checked file, published in one step."""
