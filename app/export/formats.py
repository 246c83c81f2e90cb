"""The formats of an exported table."""

from enum import StrEnum


class Format(StrEnum):
    """The format of an exported table."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


MEDIA_TYPES = {
    Format.csv: "text/csv; charset=utf-8; header=present",
    Format.jsonl: "application/x-ndjson",
    Format.parquet: "application/vnd.apache.parquet",
}
