"""The questions about a pair of models, base and instruct."""
