"""How much of a file is transferred, for a person at a terminal, for a log, or for a program that reads lines."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NoReturn

from tqdm import tqdm


@dataclass(frozen=True)
class Transfer:
    """How much of a file is here or there."""

    file: str
    bytes_done: int
    bytes: int

    @property
    def percent(self) -> int:
        """The share of bytes, in whole percents."""
        return 100 * self.bytes_done // self.bytes if self.bytes else 100


ReportTransfer = Callable[[Transfer], None]


def reporter(as_json: bool) -> ReportTransfer:
    """A function that reports as JSON lines on standard output, or as a bar or lines on standard error."""
    if as_json:
        return _Lines(1, lambda transfer: print(json.dumps(asdict(transfer)), flush=True))  # noqa: T201
    return _Bar() if sys.stderr.isatty() else _Lines(10, _print)


def _print(transfer: Transfer) -> None:
    print(f"{transfer.file}: {transfer.percent}% of {transfer.bytes / 1e6:.1f} MB", file=sys.stderr)  # noqa: T201


class _Lines:
    """A line each time that `step` more percents of a file are done."""

    def __init__(self, step: int, write: ReportTransfer) -> None:
        self._step = step
        self._write = write
        self._told: dict[str, int] = {}

    def __call__(self, transfer: Transfer) -> None:
        step = transfer.percent // self._step
        if self._told.get(transfer.file) != step:
            self._told[transfer.file] = step
            self._write(transfer)


class _Bar:
    """One bar a file."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[NoReturn]] = {}

    def __call__(self, transfer: Transfer) -> None:
        bar = self._bars.get(transfer.file)
        if bar is None:
            bar = tqdm(
                total=transfer.bytes, initial=transfer.bytes_done, desc=transfer.file, unit="B", unit_scale=True,
                file=sys.stderr, disable=False,
            )  # fmt: skip
            self._bars[transfer.file] = bar
        bar.update(transfer.bytes_done - bar.n)
        if transfer.bytes_done == transfer.bytes:
            bar.close()
