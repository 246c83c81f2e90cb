"""The label file: build it from shards, derive tables, check it, publish it in one step, and read it back."""
