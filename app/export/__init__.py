"""Search results as files: CSV, JSON lines and Parquet."""
