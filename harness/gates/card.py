"""``model_card``: a model card is there and complete (Mitchell et al., 2019; the file as Hugging Face lays it out).

A card is Markdown with YAML front matter. The front matter names the model, and who owns it; sections (headings of any
level) say what it is for, what data it was made of, how good it is, where it fails and what harm it may do. A section
that is empty or holds a placeholder counts as missing: nobody has written it yet.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.domain.gates import Check, Details, ModelCard
from harness.gates.scene import Scene
from harness.gates.words import listed

NAME: Final = "model_card"
FRONT: Final = ("name", "owner")
"""What the front matter must say."""
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Intended use": ("intended use", "intended uses", "intended use and scope", "uses", "direct use"),
    "Data": ("data", "training data", "training and evaluation data", "training details", "datasets"),
    "Metrics": ("metrics", "evaluation", "evaluation results", "performance", "quantitative analyses"),
    "Limitations": ("limitations", "bias, risks, and limitations", "caveats and recommendations", "known limitations"),
    "Ethical considerations": (
        "ethical considerations",
        "ethics",
        "fairness and ethics",
        "bias, risks, and limitations",
    ),
    "Owner": ("owner", "owners", "contact", "maintainers", "model card contact"),
}
"""Required sections, and the headings that each is known by."""
_FRONT: Final = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADING: Final = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_FENCED: Final = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_PLACEHOLDER: Final = re.compile(
    "|".join(
        (
            r"(?-i:\b(?:TODO|TBD|TBA|FIXME|XXX)\b)",
            r"\[(?:more information needed|fill in|your [^\]]*|insert [^\]]*)\]",
            r"<(?:fill in|your [^>]*|to be [^>]*)>",
            r"\{\{[^}]*\}\}",
            r"lorem ipsum",
            r"^\s*(?:\.\.\.|…|n/?a|none|-+|\?+)\s*\.?\s*$",
        )
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says."""

    front: Mapping[str, Any]
    sections: Mapping[str, str]
    """Text by heading, in small letters; what lies under a heading of a lower level belongs to the one above it too."""


def judge(plan: ModelCard, scene: Scene | None = None) -> tuple[Check, ...]:
    """Whether the card is there and complete."""
    del scene
    path = Path(plan.path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return (
            _check(plan, [f"there is no file {path.name}; write a first one: harness card SCENARIO -o {path.name}"]),
        )
    except (OSError, UnicodeDecodeError) as error:
        return (_check(plan, [f"{path.name} cannot be read: {error}"]),)
    return (check(text, plan),)


def check(text: str, plan: ModelCard) -> Check:
    """Judge a card by its text."""
    try:
        card = read(text)
    except ValueError as error:
        return _check(plan, [str(error)])
    return _check(plan, list(missing(card, plan.require)), card)


def read(text: str) -> Card:
    """A card taken apart.

    Raises:
        ValueError: its front matter cannot be read.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = text.replace("\r\n", "\n")
    found = _FRONT.match(text)
    front: Any = {}
    if found:
        try:
            front = YAML(typ="safe", pure=True).load(found[1]) or {}
        except YAMLError as error:
            told = " ".join(str(error).split())
            raise ValueError(f"its front matter is no YAML: {told}") from None
        if not isinstance(front, dict):
            raise ValueError("its front matter is no mapping; write NAME: VALUE, one a line")
        text = text[found.end() :]
    return Card(front, dict(_sections(text)))


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Each heading with all that is below it, deeper headings included; none are looked for in code and comments."""
    hidden = _FENCED.sub(lambda seen: re.sub(r"[^\n]", " ", seen[0]), _COMMENT.sub(_blank, text))
    found = [(seen, len(seen[0]) - len(seen[0].lstrip("#"))) for seen in _HEADING.finditer(hidden)]
    bare = _COMMENT.sub(_blank, text)
    for place, (seen, level) in enumerate(found):
        end = next((later.start() for later, deep in found[place + 1 :] if deep <= level), len(text))
        yield seen[1].strip().strip("*_").rstrip(":").lower(), bare[seen.end() : end].strip()


def _blank(seen: "re.Match[str]") -> str:
    """Spaces in the place of a comment, so that what follows keeps its place."""
    return re.sub(r"[^\n]", " ", seen[0])


def missing(card: Card, require: tuple[str, ...] = ()) -> Iterator[str]:
    """What a card lacks, in words; nothing where it is complete."""
    for key in FRONT:
        if blank(str(card.front.get(key) or "")):
            yield f"the front matter says no {key}"
    for title, headings in {**SECTIONS, **{each: (each.lower(),) for each in require}}.items():
        texts = [card.sections[heading] for heading in headings if heading in card.sections]
        if title == "Owner" and not texts and not blank(str(card.front.get("owner") or "")):
            continue
        if not texts:
            yield f"no section {title}"
        elif all(blank(text) for text in texts):
            yield f"{title} is {'empty' if not _prose(texts[0]) else 'a placeholder'}"


def _prose(text: str) -> str:
    """What a section says beside its own headings."""
    return _HEADING.sub("", text).strip()


def blank(text: str) -> bool:
    """Whether a text says nothing yet.

    >>> blank("TODO: who may use it"), blank("Ranks customers by their risk to leave."), blank("...")
    (True, False, True)
    """
    prose = _prose(text)
    return not re.search(r"\w", prose) or bool(_PLACEHOLDER.search(prose))


def _check(plan: ModelCard, lacks: list[str], card: Card | None = None) -> Check:
    told = Path(plan.path).name
    rows = tuple((title, "missing" if any(title in lack for lack in lacks) else "there") for title in SECTIONS)
    return Check(
        name=NAME,
        text=f"model card {told} is complete",
        passed=not lacks,
        reason=f"model card: {listed(lacks)}" if lacks else f"{told} has all that a model card must have",
        value=float(len(lacks)),
        bound="== 0",
        details=Details(("section", ""), rows) if card else None,
    )
