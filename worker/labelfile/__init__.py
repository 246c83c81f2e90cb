"""One label file: that of a model or of a pair, built from shards or from another file, checked, and closed."""
