"""The worker over HTTP: one thread a model, a bounded queue, streams that end when their client leaves."""
