"""What the parts of the benchmark for a GPU share: the device, the shape, the time they may take, plain labels.

Needs torch alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import torch
from torch import Tensor

from benchmarks.shapes import Shape
from benchmarks.timing import Turn, time_turns, until_done

NEAR = 1e-3  # relative: scores that are nearer than this may change places

Figures = dict[str, str | int | float]
Contenders = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Trial:
    """One run of a part.

    Args:
        layers: the most layers to time, or to have in a model.
        seconds: the time after which no other turn is begun; one is timed in any case.
    """

    device: torch.device
    shape: Shape
    layers: int
    seconds: float

    @property
    def dtype(self) -> torch.dtype:
        """The precision of models: bf16, as they are stored, but fp32 on a CPU, which may be slow at bf16."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def time(self, turns: int, prepare: Callable[[int], Contenders]) -> Sequence[Turn]:
        """Time what `prepare` makes for each turn, after one to warm up; one turn ahead is in memory."""
        return time_turns(self._in_time(turns, prepare))

    def _in_time(self, turns: int, prepare: Callable[[int], Contenders]) -> Iterator[Contenders]:
        end = monotonic() + self.seconds
        for turn in range(turns + 1):
            if turn > 1 and monotonic() > end:
                return
            yield {name: until_done(run, self.device) for name, run in prepare(turn).items()}

    def peak_gb(self, run: Callable[[], object]) -> Figures:
        """Run once and say the most memory of the GPU that tensors took, what was there before included."""
        if self.device.type != "cuda":
            return {}
        torch.cuda.reset_peak_memory_stats(self.device)
        run()
        torch.cuda.synchronize(self.device)
        return {"peak GPU memory, GB": round(torch.cuda.max_memory_allocated(self.device) / 1e9, 2)}


def count_wrong(scores: Tensor, ids: Tensor, sign: int) -> int:
    """Count the ids that are not where they belong, whatever they were said to score.

    Args:
        scores: the true scores, `(rows, tokens)`.
        ids: the tokens said to be the best of each row, best first, `(rows, k)`.
        sign: 1 where the best are the highest, -1 where they are the lowest.
    """
    best = (sign * scores).topk(ids.shape[1]).values  # (rows, k)
    found = (sign * scores).gather(1, ids)
    return int(((found - best).abs() > NEAR * best.abs()).sum())
