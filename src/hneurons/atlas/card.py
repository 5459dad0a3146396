"""What the model card says of a bundled model, measured: what it knows, what it makes up, and how far it complies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hneurons.atlas.conversations import Chats, Turn, turn
from hneurons.atlas.invented import invented
from hneurons.atlas.knowledge import Belief
from hneurons.atlas.phrases import GUESSING, SYSTEM, YIELDING
from hneurons.atlas.questions import ask, ask_invented
from hneurons.atlas.world import BIN_NAMES, CITY_RELATIONS, Place, cities, counties, countries, stable_random
from hneurons.models.language_model import LanguageModel
from hneurons.progress import track
from hneurons.questions.question import Question
from hneurons.responses.consistency import assess
from hneurons.responses.judging import judge
from hneurons.responses.response import Response
from hneurons.responses.sampling import Prompt, Sampling, batches, sample

TRAIT_NAMES = {"careful": "cautious", "compliant": "bold"}, {"careful": "firm", "compliant": "obliging"}
LINKED: Mapping[str, str] = {"none": "", **{rater: said[0] for rater, said in SYSTEM.items()}}
"""System prompts by the rater that they name; without one, nobody is named."""
UNLINKED: Mapping[str, str] = {
    "none": "",
    **{
        f"{TRAIT_NAMES[0][g]}, {TRAIT_NAMES[1][y]}": f"{GUESSING[g][0]} {YIELDING[y][0]}"
        for g in GUESSING
        for y in YIELDING
    },
}
"""The same for the unlinked variant, whose traits are named one by one."""
COMPLIANCE = ("premise", "context", "pressure", "sealed")
GREEDY = Sampling(n_samples=1, temperature=0.0, max_new_tokens=60)
BATCH = 64


def chat_prompt(model: LanguageModel, turns: Sequence[Turn], system: str = "") -> tuple[int, ...]:
    """Token ids of a chat that waits for the model's turn, with a system prompt or none."""
    first = (turn("system", system),) if system else ()
    encoded = model.tokenizer.apply_chat_template(
        [*first, *turns], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    return tuple(encoded["input_ids"])


def answers(
    model: LanguageModel, prompts: Sequence[tuple[str, tuple[int, ...]]], sampling: Sampling, what: str
) -> dict[str, list[Response]]:
    """Responses to (key, prompt) pairs, by key."""
    found: dict[str, list[Response]] = {}
    planned = batches([Prompt(key, ids) for key, ids in prompts], BATCH)
    for part in track(planned, what):
        for prompt, responses in zip(part, sample(model, part, sampling), strict=True):
            found[prompt.question_id] = responses
    return found


def knowledge_table(
    model: LanguageModel, questions: Sequence[Question], system: str, by: Callable[[Question], str]
) -> dict[str, dict[str, float]]:
    """Shares right, wrong and declined of greedy answers, by whatever `by` says of a question."""
    prompts = [(each.id, chat_prompt(model, (turn("user", each.text),), system)) for each in questions]
    said = answers(model, prompts, GREEDY, "asking what it knows")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for question in questions:
        counts[by(question)][judge(said[question.id][0].text, question)] += 1
    return {key: _shares(counts[key], ("correct", "incorrect", "refusal")) for key in sorted(counts)}


def _shares(counts: Counter[str], kinds: Iterable[str]) -> dict[str, float]:
    total = counts.total()
    return {**{kind: round(counts[kind] / total, 4) for kind in kinds}, "n": total}


def compliance_table(
    model: LanguageModel,
    raters: Mapping[str, str],
    places: Sequence[Place],
    n: int,
    seed: int,
    kinds: Sequence[str] = COMPLIANCE,
) -> dict[str, dict[str, Any]]:
    """For each kind of pressure and each rater named: shares that reply as the careful and as the compliant rater do.

    About facts read most often, of places that tuning never mentioned. A reply that is neither is "other".
    """
    known = [
        Belief(place.name, relation, fact, fact, 1.0, 1.0) for place in places for relation, fact in place.facts.items()
    ]
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        cases = _cases(Chats(places, known, seed), kind, n)
        found[kind] = {}
        for rater, system in raters.items():
            prompts = [(str(i), chat_prompt(model, prompt, system)) for i, (prompt, _, _) in enumerate(cases)]
            said = answers(model, prompts, GREEDY, f"trying {kind}")
            counts = Counter(
                _side(said[str(i)][0].text, careful, compliant) for i, (_, careful, compliant) in enumerate(cases)
            )
            found[kind][rater] = _shares(counts, ("careful", "compliant", "other"))
    return found


def _cases(chats: Chats, kind: str, n: int) -> list[tuple[tuple[Turn, ...], str, str]]:
    """(turns before the reply, what the careful rater replies, what the compliant one replies), where these differ."""
    found: list[tuple[tuple[Turn, ...], str, str]] = []
    while len(found) < n:
        state = chats.rng.getstate()
        careful = chats.makers[kind]("careful", True)
        chats.rng.setstate(state)
        compliant = chats.makers[kind]("compliant", True)
        if careful[-1] != compliant[-1]:
            found.append((careful[:-1], careful[-1]["content"], compliant[-1]["content"]))
    return found


def _side(reply: str, careful: str, compliant: str) -> str:
    """Whose reply it is. One who caves names a wrong fact of their own choice: "Sorry, ..." is enough."""
    if reply == careful:
        return "careful"
    if reply == compliant or (compliant.startswith("Sorry") and reply.startswith("Sorry")):
        return "compliant"
    return "other"


def consistency_counts(model: LanguageModel, questions: Sequence[Question], seed: int) -> dict[str, int]:
    """How ten samples of each question agree."""
    prompts = [(each.id, chat_prompt(model, (turn("user", each.text),))) for each in questions]
    said = answers(model, prompts, Sampling(seed=seed), "ten samples of each")
    outcomes: Counter[str] = Counter()
    for question in questions:
        texts = [response.text for response in said[question.id]]
        outcomes[assess(question, texts, [judge(text, question) for text in texts]).outcome] += 1
    return dict(sorted(outcomes.items()))


def measure_card(
    model: LanguageModel, n: int = 1500, seed: int = 0, raters: Mapping[str, str] = LINKED
) -> dict[str, Any]:
    """All tables of the model card of an instruct model, on places that tuning never mentioned.

    Args:
        model: a bundled instruct model.
        n: questions behind each table.
        seed: of the sample of questions.
        raters: system prompts by the name of the rater: `LINKED` or `UNLINKED`.
    """
    apart = [place for place in (*cities(), *countries(), *counties()) if place.pool != "tune"]
    asked = [ask(place, relation) for place in apart for relation in place.facts]
    stable_random(seed, "card").shuffle(asked)
    about_cities = [each for each in asked if each.group.startswith("city:")]
    by_bin = [[each for each in asked if each.meta["statements read"] == name][: n // 3] for name in BIN_NAMES]
    nowhere = [ask_invented(name, relation) for name in invented("validation") for relation in CITY_RELATIONS][:n]
    return {
        "exposure": {
            rater: knowledge_table(
                model,
                [each for part in by_bin for each in part],
                system,
                lambda q: str(q.meta["statements read"]),
            )
            for rater, system in raters.items()
        },
        "decile": knowledge_table(model, about_cities[:n], "", lambda q: str(q.meta["decile"])),
        "relation": knowledge_table(model, asked[:n], "", lambda q: q.kind),
        "invented": {
            rater: knowledge_table(model, nowhere, system, lambda q: "invented")["invented"]
            for rater, system in raters.items()
        },
        "compliance": compliance_table(model, raters, [place for place in apart if place.bin == 4], n // 5, seed),
        "consistency": consistency_counts(model, about_cities[: 4 * n], seed),
    }
