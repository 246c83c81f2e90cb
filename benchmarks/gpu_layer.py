"""One decoder layer of the Llama family in plain torch, on random weights, for many tokens behind one carrier.

The carrier's keys and values are computed once and shared by all tokens, each of which sees the carrier and itself.
Needs torch alone. (Llama 3.1 also stretches its slowest rotations, which changes no time.)
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.shapes import Shape

SCALE = 0.02  # standard deviation of every weight


def make_weights(shape: Shape, seed: int, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Make the random weights of a layer, `(out, in)` each, named as in a checkpoint; the same seed gives the same."""
    generator = torch.Generator(device).manual_seed(seed)
    keys = shape.key_heads * shape.head_width
    sizes = {
        "self_attn.q_proj": (shape.width, shape.width),
        "self_attn.k_proj": (keys, shape.width),
        "self_attn.v_proj": (keys, shape.width),
        "self_attn.o_proj": (shape.width, shape.width),
        "mlp.gate_proj": (shape.neurons, shape.width),
        "mlp.up_proj": (shape.neurons, shape.width),
        "mlp.down_proj": (shape.width, shape.neurons),
    }
    return {
        name: torch.randn(size, generator=generator, device=device, dtype=dtype).mul_(SCALE)
        for name, size in sizes.items()
    }


class Layer:
    """A layer that has read its carrier; norms have a gain of 1.

    Args:
        weights: by the names of `make_weights`.
        carrier: the stream before the layer, `(places, width)`.
    """

    def __init__(self, shape: Shape, weights: Mapping[str, Tensor], carrier: Tensor) -> None:
        self._shape, self._weights, self._places = shape, weights, len(carrier)
        query, self._keys, self._values = self._project(carrier, torch.arange(len(carrier), device=carrier.device))
        mixed = functional.scaled_dot_product_attention(
            _by_head(query.flatten(1, 2)),
            _by_head(self._keys),
            _by_head(self._values),
            is_causal=True,
            enable_gqa=True,
        )  # (1, heads, places, head width)
        self.carrier = self._finish(carrier, mixed[0].transpose(0, 1).flatten(1))[0]  # the stream after the layer

    def run(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        """Run tokens `(tokens, width)`, each in the place behind the carrier.

        Returns the stream after the layer, `(tokens, width)`, and `act`, the input of the down projection,
        `(tokens, neurons)`.
        """
        places = torch.full((len(stream),), self._places, device=stream.device)
        query, key, value = self._project(stream, places)
        behind = torch.einsum("tkgh,pkh->tkgp", query, self._keys)
        own = (query * key[:, :, None]).sum(-1, keepdim=True)  # (tokens, key heads, group, 1)
        scores = torch.cat([behind, own], -1).float() * self._shape.head_width**-0.5
        share = scores.softmax(-1).to(stream.dtype)  # (tokens, key heads, group, places + 1)
        mixed = torch.einsum("tkgp,pkh->tkgh", share[..., :-1], self._values) + share[..., -1:] * value[:, :, None]
        return self._finish(stream, mixed.flatten(1))

    def _project(self, stream: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries `(tokens, key heads, group, head width)`, keys and values `(tokens, key heads, head width)`."""
        shape, read = self._shape, self._norm(stream)
        query, key, value = (
            (read @ self._weights[f"self_attn.{name}_proj"].T).view(len(stream), -1, shape.head_width) for name in "qkv"
        )  # (tokens, heads or key heads, head width)
        turned = _rotate(query, places, shape.rope_base)
        grouped = turned.view(len(stream), shape.key_heads, -1, shape.head_width)
        return grouped, _rotate(key, places, shape.rope_base), value

    def _finish(self, stream: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        stream = stream + mixed @ self._weights["self_attn.o_proj"].T
        read = self._norm(stream)
        act = functional.silu(read @ self._weights["mlp.gate_proj"].T) * (read @ self._weights["mlp.up_proj"].T)
        return stream + act @ self._weights["mlp.down_proj"].T, act

    def _norm(self, stream: Tensor) -> Tensor:
        return functional.rms_norm(stream, stream.shape[-1:], eps=self._shape.norm_epsilon)


def _by_head(vectors: Tensor) -> Tensor:
    """Lay out `(tokens, heads, head width)` as torch's attention takes it, `(1, heads, tokens, head width)`."""
    return vectors.transpose(0, 1)[None]


def _rotate(vectors: Tensor, places: Tensor, base: float) -> Tensor:
    """Turn `(tokens, heads, head width)` by their places, as Llama does: its two halves are the two coordinates."""
    half = vectors.shape[-1] // 2
    speeds = base ** (-torch.arange(half, device=vectors.device) / half)
    angles = (places[:, None] * speeds)[:, None]  # (tokens, 1, half)
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)
