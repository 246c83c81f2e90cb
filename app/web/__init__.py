"""What every request passes: middleware, who may, metrics, error answers, caching, streams, static files."""
