"""What people would ask of a label file, drawn at random by how often it holds a word; the seed fixes every question.

A word is a token among the first of a random label, so that one in many labels is drawn often. Some words are typed
halfway, some end in a star, and some questions carry filters, in shares that were chosen, not observed.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlencode

LISTS = 24  # random lists of labels that words are drawn from
LONGEST_LIST = 500  # labels
TEXTS = {"word": 60, "part": 20, "prefix": 20}  # of a hundred searches: a whole word, one still typed, one with a star
TRIES = 1_000  # draws until one is new
FILTERED = 0.3  # of the searches
FILTERS = {"view": 35, "strength": 20, "layers": 15, "sort": 10, "side": 8, "min_z": 6, "lens": 6}
FORM = dict.fromkeys(("q", "model", "view", "layer_min", "layer_max", "min_z", "strength", "agreement"), "")
BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip, deflate, br, zstd"}
HEADERS = {
    "JSON": {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
    "page": BROWSER,
    "partial": BROWSER | {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "section#results"},
}
Ask = Callable[[str], Awaitable[bytes]]  # the body of the answer at a path


class Request(NamedTuple):
    """A path and the headers that go with it."""

    path: str
    headers: Mapping[str, str]


class Word(NamedTuple):
    """A token that stands in a label."""

    tokenizer: str
    token_id: int
    text: str


class Library(NamedTuple):
    """What a label file holds: its models as the API tells them, and words, each as often as it was found."""

    models: list[dict[str, Any]]
    words: list[Word]

    def layers(self, model: dict[str, Any]) -> range:
        """The mapped layers of a model."""
        first, last = model["mapped_layers"] or (0, model["layers"] - 1)
        return range(first, last + 1)


async def read_library(ask: Ask, seed: int = 0) -> Library:
    """Read models, and the words of random lists of labels."""
    random = Random(seed)
    library = Library(json.loads(await ask("/api/v1/models"))["models"], [])
    for _ in range(LISTS):
        model = random.choice(library.models)
        layer, offset = random.choice(library.layers(model)), random.randrange(0, model["neurons"], LONGEST_LIST)
        asked = {"view": random.choice(model["views"]), "lens": random.choice(model["lenses"])}
        query = urlencode(asked | {"sort": "neuron", "limit": LONGEST_LIST, "offset": offset})
        answer = json.loads(await ask(f"/api/v1/layers/{model['name']}/{layer}?{query}"))
        tokens = [token for neuron in answer["results"] for token in neuron["top_tokens"]]
        library.words.extend(Word(model["tokenizer"], token["token_id"], token["text"].strip()) for token in tokens)
    return library


class Searches:
    """An endless iterator of searches, as the fields of the form that differ from its defaults; each comes once.

    Raises:
        ValueError: the label file has too few words for so many.
    """

    def __init__(self, library: Library, seed: int = 0) -> None:
        self._library, self._random = library, Random(seed)
        self._words = [word.text for word in library.words if word.text.isalpha() and len(word.text) > 1]
        self._drawn: set[tuple[tuple[str, str], ...]] = set()

    def __iter__(self) -> Iterator[dict[str, str]]:
        return self

    def __next__(self) -> dict[str, str]:
        for _ in range(TRIES):
            search = {"q": self._text()} | (self._filters() if self._random.random() < FILTERED else {})
            key = tuple(sorted(search.items()))
            if key not in self._drawn:
                self._drawn.add(key)
                return search
        raise ValueError(f"The label file has too few words for more than {len(self._drawn)} different searches.")

    def _text(self) -> str:
        word = self._random.choice(self._words)
        match self._random.choices(list(TEXTS), list(TEXTS.values()))[0]:
            case "part":
                return word[: self._random.randint(2, max(2, len(word) - 1))]
            case "prefix":
                return word[: self._random.randint(2, 5)] + "*"
        return word

    def _filters(self) -> dict[str, str]:
        """One or two filters."""
        random, model = self._random, self._library.models[0]
        layers = self._library.layers(model)
        chosen: dict[str, str] = {}
        for name in random.choices(list(FILTERS), list(FILTERS.values()), k=random.randint(1, 2)):
            low, high = sorted(random.choices(layers, k=2))
            chosen |= {
                "view": {"view": random.choice(model["views"])},
                "strength": {"strength": random.choice(["strong", "strong", "weak", "noise"])},
                "layers": {"layer_min": str(low), "layer_max": str(high)},
                "sort": {"sort": random.choice(["z", "score", "layer_z", "neuron"])},
                "side": {"side": "bottom"},
                "min_z": {"min_z": str(random.choice([3, 4, 5, 6, 8]))},
                "lens": {"lens": random.choice(model["lenses"])},
            }[name]
        return chosen


def search_request(kind: str, search: Mapping[str, str]) -> Request:
    """A search as a script asks for it (JSON), as a link does (page), or as a form typed into (partial)."""
    defaults: Mapping[str, tuple[str, dict[str, str]]] = {
        "JSON": ("/api/v1/search", {}),
        "page": ("/search", {"sort": "trust"}),
        "partial": ("/search", FORM | {"lens": "cosine", "side": "top", "sort": "trust"}),
    }
    path, fields = defaults[kind]
    return Request(f"{path}?{urlencode({**fields, **search})}", HEADERS[kind])


def page_requests(library: Library, count: int, seed: int = 0) -> dict[str, list[Request]]:
    """Requests for all other pages, by the page's name; those of a pair only where there is one."""
    random = Random(seed)
    paths: dict[str, list[str]] = {"home": ["/"] * count}
    for _ in range(count):
        for name, path in _page_paths(library, random):
            paths.setdefault(name, []).append(path)
    return {name: [Request(path, BROWSER) for path in those] for name, those in paths.items()}


def _page_paths(library: Library, random: Random) -> Iterator[tuple[str, str]]:
    """A random address of each page that has several."""
    model, word = random.choice(library.models), random.choice(library.words)
    layer, index, view = random.choice(library.layers(model)), random.randrange(model["neurons"]), model["views"]
    yield "neuron", f"/neurons/{model['name']}/{layer}/{index}"
    yield "layer", f"/layers/{model['name']}/{layer}?sort=trust&view={random.choice(view)}"
    yield "token", f"/tokens/{word.tokenizer}/{word.token_id}"
    others = {other["name"]: library.layers(other) for other in library.models}
    for pair in [pair for pair in model["pairs"] if layer in others[pair["other"]]][:1]:
        names = (model["name"], pair["other"]) if pair["role"] == "base" else (pair["other"], model["name"])
        compared = "/compare/" + "/".join(names)
        yield "side by side", f"{compared}/{layer}/{index}"
        yield "compare", compared
        yield "renamed", f"{compared}/changed?view={random.choice(['', *view])}&layer={random.choice(['', layer])}"
        yield "concepts", f"{compared}/concepts?view={random.choice(['', *view])}"
