"""The prompts of a trial: prompts to choose settings on, held-out ones to judge them on, and leads to a concept.

Prompts are templates over the kind of thing a concept is, so that one file serves dogs among animals and cities among
places. Knows text; knows no model.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("prompts.json")


@dataclass(frozen=True)
class Lead:
    """A question and the beginning of its answer; the next token is measured."""

    question: str
    answer: str


@dataclass(frozen=True)
class Prompts:
    """The prompts about one kind of thing."""

    choosing: list[str]
    held_out: list[str]
    leads: list[Lead]
    neutral: list[Lead]

    def leads_to(self, word: str) -> list[Lead]:
        """Select leads that `word` can follow: a word with a capital is a name and takes no article."""
        if not word[:1].isupper():
            return self.leads
        return [Lead(lead.question, lead.answer.removesuffix(" the")) for lead in self.leads]


def read_prompts(kind: str, path: Path = FILE) -> Prompts:
    """Read the prompts about `kind`, for example `animal`."""
    templates = json.loads(path.read_text())

    def fill(text: str) -> str:
        article = "an" if kind[:1].lower() in "aeiou" else "a"
        return str(text).replace("{a_kind}", f"{article} {kind}").replace("{kind}", kind)

    choosing = [fill(text) for text in templates["choosing"]]
    pairs = zip(choosing, templates["leads"], strict=False)  # a lead may bring a question of its own
    leads = [lead if isinstance(lead, list) else [text, lead] for text, lead in pairs]
    return Prompts(
        choosing=choosing,
        held_out=[fill(text) for text in templates["held_out"]],
        leads=[Lead(*map(fill, pair)) for pair in leads],
        neutral=[Lead(*pair) for pair in templates["neutral"]],
    )
