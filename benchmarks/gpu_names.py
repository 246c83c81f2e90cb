"""Names measured rather than read: which tokens of the whole vocabulary move each neuron most, on a GPU.

Every token stands last behind a short carrier. `act` is taken at its place, and for each neuron the tokens with the
highest and the lowest values are kept while the vocabulary runs through, layer by layer, so that only one layer's
weights are in memory. The bare pass is the same without keeping anything. Needs torch alone.
"""

import torch
from torch import Tensor

from benchmarks.gpu_layer import Layer, make_weights
from benchmarks.gpu_trial import Contenders, Figures, Trial, count_wrong
from benchmarks.timing import median_ratio, median_seconds

KEPT = 50  # tokens, at each end of each neuron
CARRIER = 8  # tokens
AT_ONCE = 4096  # tokens a pass
COMPARED = 16  # neurons whose values for every token are kept, to see whether the right tokens were


class Extremes:
    """The tokens with the highest and the lowest values of each neuron so far."""

    def __init__(self, neurons: int, device: torch.device, dtype: torch.dtype) -> None:
        self.values = {sign: torch.empty(neurons, 0, device=device, dtype=dtype) for sign in (1, -1)}
        self.tokens = {sign: torch.empty(neurons, 0, device=device, dtype=torch.long) for sign in (1, -1)}

    def add(self, act: Tensor, first: int) -> None:
        """Add the values `(tokens, neurons)` of tokens that are numbered from `first`."""
        numbers = torch.arange(first, first + len(act), device=act.device).expand(act.shape[1], -1)
        for sign in self.values:
            values = torch.cat([self.values[sign], act.T], 1)  # (neurons, kept + tokens)
            tokens = torch.cat([self.tokens[sign], numbers], 1)
            self.values[sign], places = values.topk(min(KEPT, values.shape[1]), largest=sign > 0)
            self.tokens[sign] = tokens.gather(1, places)


def run_vocabulary(layer: Layer, stream: Tensor, extremes: Extremes | None) -> Tensor:
    """Run the whole vocabulary's stream `(vocab, width)` through a layer; return the stream after it."""
    after = torch.empty_like(stream)
    for start in range(0, len(stream), AT_ONCE):
        after[start : start + AT_ONCE], act = layer.run(stream[start : start + AT_ONCE])
        if extremes is not None:
            extremes.add(act, start)
    return after


class Stack:
    """A stack of layers of which one is in memory, and the stream of carrier and vocabulary before it."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        generator = torch.Generator(trial.device).manual_seed(0)
        sizes = trial.shape.vocab, trial.shape.width
        self.stream = torch.randn(sizes, generator=generator, device=trial.device, dtype=trial.dtype)  # (vocab, width)
        self.layer = self._make(0, self.stream[:CARRIER])

    def go_to(self, number: int) -> Contenders:
        """Go on to the next layer, unless `number` is the first; return what is run on it."""
        if number:
            self.stream = run_vocabulary(self.layer, self.stream, None)
            self.layer = self._make(number, self.layer.carrier)
        return {"keeping": self.keep, "bare": lambda: run_vocabulary(self.layer, self.stream, None)}

    def keep(self) -> Extremes:
        """Run the vocabulary through the layer and keep each neuron's tokens."""
        extremes = Extremes(self.trial.shape.neurons, self.trial.device, self.trial.dtype)
        run_vocabulary(self.layer, self.stream, extremes)
        return extremes

    def differences(self) -> int:
        """Count the tokens kept for a few neurons that are not those which all of the neuron's values show."""
        blocks = self.stream.split(AT_ONCE)  # type: ignore[no-untyped-call]
        values = torch.cat([self.layer.run(block)[1][:, :COMPARED] for block in blocks]).T  # (compared, vocab)
        kept = self.keep().tokens
        return sum(count_wrong(values.float(), kept[sign][:COMPARED], sign) for sign in kept)

    def _make(self, number: int, carrier: Tensor) -> Layer:
        weights = make_weights(self.trial.shape, 1 + number, self.trial.device, self.trial.dtype)
        return Layer(self.trial.shape, weights, carrier)


@torch.inference_mode()
def measure(trial: Trial) -> Figures:
    """Measure some layers, one after the other."""
    stack, vocab = Stack(trial), trial.shape.vocab
    times = trial.time(trial.layers, stack.go_to)
    return {
        "tokens": f"{vocab} behind {CARRIER}, {AT_ONCE} at once, {len(times)} layers of {trial.shape.neurons} neurons",
        "dtype": str(trial.dtype).removeprefix("torch."),
        "keeping / bare pass": median_ratio(times, "keeping", "bare"),
        "tokens a second through a layer, keeping": round(vocab / median_seconds(times, "keeping")),
        "tokens a second through a layer, bare": round(vocab / median_seconds(times, "bare")),
        **trial.peak_gb(stack.keep),
        "kept tokens compared with all values": 2 * min(KEPT, vocab) * COMPARED,
        "of these wrong": stack.differences(),
    }
