"""What all routes share: middleware, access control, metrics, error answers, caching, event streams, static files."""
