"""How much of a model is loaded, read off what transformers does while it loads one.

It draws progress bars, which is all there is to see of a folder. A GGUF file it also opens several times, reading and
parsing a header that takes seconds, and it names the tensors anew for each module: here each is done once. Knows
transformers; knows no model.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from types import ModuleType
from typing import Any, TypeVar

import gguf
from transformers import modeling_gguf_pytorch_utils as gguf_reading
from transformers.utils.logging import set_tqdm_hook

T = TypeVar("T")
Make = Callable[..., Any]
Wrap = Callable[[Make, tuple[Any, ...], dict[str, Any]], Any]

OF_A_FOLDER = 1  # steps: one bar
OF_A_FILE = 5  # opened for its header, by us, and for the weights; two bars


class Loading:
    """One model while it loads. `share`, from 0 to 1, is written by the thread that loads and may be read by any."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.share = 0.0
        self._steps = OF_A_FOLDER
        self._done = 0
        self._made: dict[str, Any] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While inside, `share` follows what is loaded. For one thread at a time."""
        with ExitStack() as ending:
            before = set_tqdm_hook(self._bar)
            ending.callback(set_tqdm_hook, before)
            # The reader of GGUF files draws its bar itself, without asking the hook.
            ending.enter_context(_instead(gguf_reading, "tqdm", self._bar))
            ending.enter_context(_instead(gguf, "GGUFReader", self._open))
            ending.enter_context(_instead(gguf, "get_tensor_name_map", self._once))
            ending.enter_context(_instead(gguf_reading, "load_gguf_checkpoint", self._header))
            yield

    def _open(self, make: Make, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._steps = OF_A_FILE
        reader = self._once(make, given, options)
        self._step()
        return reader

    def _header(self, make: Make, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if options.get("return_tensors"):
            return make(*given, **options)
        return deepcopy(self._once(make, given, options))  # callers take things out of it

    def _once(self, make: Make, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """What was made of the same before, else made now."""
        asked = repr((make, [str(one) for one in given], options))
        if asked not in self._made:
            self._made[asked] = make(*given, **options)
        return self._made[asked]

    def _bar(self, make: Make, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        bar = make(*given, **options)
        return self._counted(given[0], bar) if given and hasattr(given[0], "__len__") else bar

    def _counted(self, things: Any, bar: Iterable[T]) -> Iterator[T]:
        for number, thing in enumerate(bar):
            self._tell(number / len(things))
            yield thing
        self._step()

    def _step(self) -> None:
        self._done += 1
        self._tell()

    def _tell(self, part: float = 0.0) -> None:
        self.share = min(1.0, max(self.share, (self._done + part) / self._steps))


@contextmanager
def _instead(module: ModuleType, name: str, wrap: Wrap) -> Iterator[None]:
    """While inside, what is called by this name in the module goes through `wrap`; nothing if it has none."""
    names = vars(module)
    made = names.get(name)
    if made is not None:
        names[name] = lambda *given, **options: wrap(made, given, options)
    try:
        yield
    finally:
        if made is not None:
            names[name] = made
