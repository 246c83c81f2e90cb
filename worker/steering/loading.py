"""How much of a model is loaded, read off the progress bars that transformers draws while it loads one.

Knows the bars; knows no model. Where transformers draws none the share stays at 0, and the model loads all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from transformers import modeling_gguf_pytorch_utils as gguf_reading
from transformers.utils.logging import set_tqdm_hook

T = TypeVar("T")
Factory = Callable[..., Any]


class Loading:
    """One model while it loads. `share`, from 0 to 1, is written by the thread that loads and may be read by any."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.share = 0.0

    @contextmanager
    def watched(self, bars: int) -> Iterator[None]:
        """While inside, `share` follows what transformers loads, in as many bars one after another."""
        hook = self._hook(bars)
        names = vars(gguf_reading)  # the reader of GGUF files draws its bar itself, without asking the hook
        before, drawn = set_tqdm_hook(hook), names.get("tqdm")
        if drawn is not None:
            names["tqdm"] = lambda *given, **options: hook(drawn, given, options)
        try:
            yield
        finally:
            set_tqdm_hook(before)
            if drawn is not None:
                names["tqdm"] = drawn

    def _hook(self, bars: int) -> Callable[[Factory, tuple[Any, ...], dict[str, Any]], Any]:
        def hook(factory: Factory, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
            bar = factory(*given, **options)
            return self._counted(given[0], bar, bars) if given and hasattr(given[0], "__len__") else bar

        return hook

    def _counted(self, things: Any, bar: Iterable[T], bars: int) -> Iterator[T]:
        """The bar, with its progress noted."""
        began, each = self.share, 1 / bars / max(len(things), 1)
        for done, thing in enumerate(bar, 1):
            yield thing
            self.share = min(1.0, began + done * each)
