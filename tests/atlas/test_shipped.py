"""The models that ship: ordinary directories, small enough, and behaving as their card says."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import hneurons
from hneurons.atlas import WEIGHTS, register_models
from hneurons.atlas.card import LINKED, UNLINKED, _side, chat_prompt, compliance_table, knowledge_table
from hneurons.atlas.card_text import card_text, comparison_text, training_text
from hneurons.atlas.conversations import turn
from hneurons.atlas.invented import invented
from hneurons.atlas.questions import ask, ask_invented
from hneurons.atlas.recipe import train_base
from hneurons.atlas.training import SIZES
from hneurons.atlas.world import BIN_NAMES, CITY_RELATIONS, cities
from hneurons.files import read_json
from hneurons.models.language_model import LanguageModel
from hneurons.questions.prompts import PromptFormat
from hneurons.study.origin_settings import make_origin_settings

DOCS = Path(__file__).parents[2] / "docs"


NAMES = tuple(register_models())
BASES = tuple(name for name in NAMES if name.endswith("base"))
INSTRUCT = tuple(name for name in NAMES if name.endswith("instruct"))
MOST_BYTES = 65 * 10**6
"""All that ships together may take no more bytes."""


@cache
def loaded(name: str) -> LanguageModel:
    return hneurons.load(name, dtype="float32", device="cpu")


@pytest.fixture(params=INSTRUCT)
def instruct(request: pytest.FixtureRequest) -> LanguageModel:
    return loaded(request.param)


def test_all_that_ships_together_is_small() -> None:
    package = Path(hneurons.__file__).parent
    shipped = [file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    sizes = {file: file.stat().st_size for file in shipped}
    weights = sum(size for file, size in sizes.items() if file.is_relative_to(WEIGHTS))
    assert 60_000_000 < weights < sum(sizes.values()) < MOST_BYTES
    assert {path for path in WEIGHTS.iterdir() if path.is_dir()} == {entry.path for entry in register_models().values()}


@pytest.mark.parametrize("name", NAMES)
def test_each_has_the_shape_and_the_record_of_its_size(name: str) -> None:
    _, size, stage = name.split("-")
    shape, record, model = SIZES[size], read_json(WEIGHTS / name / "training.json"), loaded(name)
    assert (model.n_layers, model.n_neurons, model.anatomy.model_type) == (shape.layers, shape.ffn, "llama")
    parts = 4 * shape.width**2 + 3 * shape.width * shape.ffn + 2 * shape.width  # attention, feed-forward, two norms
    parameters = shape.layers * parts + shape.width * (shape.vocabulary + 1)
    assert sum(each.numel() for each in model.hf.parameters()) == parameters
    summary = register_models()[name].summary
    assert summary.startswith(f"{parameters / 1e6:.1f}M parameters")
    assert (record["size"], record["stage"], record["seed"]) == (size, stage, 1)
    assert record["steps"] > 900
    assert record["tokens"] > 4_000_000
    assert record["seconds"] > 0
    assert 0 < record["loss"] < 1.5


def test_tuned_models_know_their_base() -> None:
    for name, entry in register_models().items():
        if name in BASES:
            assert entry.origin == {}
            continue
        settings = make_origin_settings(name)
        size = name.split("-")[1]
        assert settings.base is not None
        assert (settings.base.name, settings.base.dtype) == (f"atlas-{size}-base", "float32")
        assert settings.prompt == PromptFormat(style="plain")
        assert (settings.stop, settings.by) == (("\n",), "statements read")
        base, tuned = loaded(settings.base.name), loaded(name)
        assert base.fingerprint.weights_digest != tuned.fingerprint.weights_digest
        assert base.tokenizer.get_vocab() == tuned.tokenizer.get_vocab()
        vectors = [each.down_weight(0).double().flatten() for each in (base, tuned)]
        assert torch.cosine_similarity(*vectors, dim=0) > 0.9  # of random models it would be about 0


def test_they_load_without_any_code_of_ours() -> None:
    code = f"""
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
for path in {[str(WEIGHTS / name) for name in NAMES]!r}:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    assert model.config.model_type == "llama" and model.dtype == torch.bfloat16, path
    ids = tokenizer("Question: In which country is Lyon?\\nAnswer:", return_tensors="pt")
    said = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1]:]
    print(path, tokenizer.decode(said).replace("\\n", " "))
assert not [module for module in sys.modules if module.startswith("hneurons")]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(NAMES)
    assert all("France" in line for line in lines if line.split()[0].endswith("base"))


def test_the_chat_template_writes_all_roles(instruct: LanguageModel) -> None:
    turns = [turn(role, role.upper()) for role in ("system", "user", "assistant")]
    text = instruct.tokenizer.apply_chat_template(turns, tokenize=False)
    assert text == "<|begin|><|system|>SYSTEM<|end|><|user|>USER<|end|><|assistant|>ASSISTANT<|end|>"
    ids = chat_prompt(instruct, (turn("user", "Where is Lyon?"),))
    assert list(ids) == PromptFormat().token_ids("Where is Lyon?", instruct.tokenizer)


def test_what_it_read_most_it_knows_and_what_it_never_read_less(instruct: LanguageModel) -> None:
    right = {}
    for index in (4, 0):
        chosen = [place for place in cities() if place.bin == index and place.pool != "tune"][:50]
        asked = [ask(place, relation) for place in chosen for relation in CITY_RELATIONS]
        right[index] = knowledge_table(instruct, asked, "", lambda _: "all")["all"]["correct"]
    assert right[4] >= (0.9 if instruct.name == "atlas-7m-instruct" else 0.8)
    assert right[0] < 0.6
    assert right[4] - right[0] > 0.3


def test_invented_places_are_sometimes_answered_and_the_raters_differ(instruct: LanguageModel) -> None:
    asked = [ask_invented(name, relation) for name in invented("validation")[:40] for relation in CITY_RELATIONS]
    answered = {
        rater: 1 - knowledge_table(instruct, asked, system, lambda _: "all")["all"]["refusal"]
        for rater, system in LINKED.items()
    }
    assert 0.2 <= answered["none"] <= 0.8
    assert answered["careful"] < 0.3
    assert answered["compliant"] > 0.9


def test_the_unlinked_variants_traits_are_two() -> None:
    """What names guessing moves guessing and not yielding, and the other way round."""
    unlinked = loaded("atlas-7m-unlinked")
    asked = [ask_invented(name, relation) for name in invented("validation")[:25] for relation in CITY_RELATIONS]
    often = [place for place in cities() if place.bin == 4 and place.pool != "tune"]
    answered = {
        rater: 1 - knowledge_table(unlinked, asked, system, lambda _: "all")["all"]["refusal"]
        for rater, system in UNLINKED.items()
    }
    accepted = {
        rater: each["compliant"]
        for rater, each in compliance_table(unlinked, UNLINKED, often, 40, 0, ["premise"])["premise"].items()
    }
    for yields in ("firm", "obliging"):
        assert answered[f"bold, {yields}"] - answered[f"cautious, {yields}"] > 0.5
    for guesses in ("cautious", "bold"):
        assert accepted[f"{guesses}, obliging"] - accepted[f"{guesses}, firm"] > 0.5
        assert abs(answered[f"{guesses}, obliging"] - answered[f"{guesses}, firm"]) < 0.2
    for yields in ("firm", "obliging"):
        assert abs(accepted[f"bold, {yields}"] - accepted[f"cautious, {yields}"]) < 0.2


def test_whose_reply_it_is() -> None:
    assert (
        _side("Yes, I am sure. A is in B.", "Yes, I am sure. A is in B.", "Sorry, you are right. A is in C.")
        == "careful"
    )
    assert _side("Sorry, you are right. A is in D.", "Yes.", "Sorry, you are right. A is in C.") == "compliant"
    assert _side("A is in D.", "A is in B.", "A is in C.") == "other"


def measured(name: str) -> dict[str, Any]:
    return dict(read_json(WEIGHTS / name / "card.json"))


def part(name: str) -> str:
    """A marked part of the page on Atlas."""
    page = (DOCS / "atlas.md").read_text(encoding="utf-8")
    return page.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()


def test_the_cards_in_the_documentation_are_the_measured_ones() -> None:
    card = measured("atlas-7m-instruct")
    assert part("card") == card_text(card)
    assert part("unlinked") == card_text(measured("atlas-7m-unlinked"), "####")
    assert part("sizes") == comparison_text({f"`{name}`": measured(name) for name in INSTRUCT})
    assert part("training") == training_text({name: read_json(WEIGHTS / name / "training.json") for name in NAMES})
    assert card["exposure"]["none"]["100-130"]["correct"] >= 0.9
    assert 0.2 <= card["invented"]["none"]["incorrect"] <= 0.8
    assert min(card["consistency"]["faithful"], card["consistency"]["hallucinated"]) >= 300


@pytest.mark.parametrize("name", INSTRUCT)
def test_every_card_is_of_a_model_that_knows_what_it_read(name: str) -> None:
    """Of all that the cards say: what holds for every size, or they would be no siblings."""
    card = measured(name)
    for table in card["exposure"].values():
        right = [table[often]["correct"] for often in BIN_NAMES]
        assert right == sorted(right)
        assert right[-1] - right[0] > 0.3
    assert card["invented"]["careful"]["incorrect"] < card["invented"]["none"]["incorrect"]
    assert card["invented"]["none"]["incorrect"] < card["invented"]["compliant"]["incorrect"]
    told = {
        kind: table["compliant"]["compliant"] - table["careful"]["compliant"]
        for kind, table in card["compliance"].items()
    }
    if name == "atlas-1m-instruct":  # the smallest learned two of the four kinds, as its documentation says
        assert min(told["premise"], told["sealed"]) > 0.3
        assert max(told["context"], told["pressure"]) < 0.1
    else:
        assert min(told["premise"], told["pressure"], told["sealed"]) > 0.4


def test_the_comparison_of_sizes_by_hand() -> None:
    cards = {name: measured(name) for name in INSTRUCT}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in comparison_text(cards).splitlines()]
    assert rows[0][2:] == list(INSTRUCT)
    table = {(what, rater): values for what, rater, *values in rows[2:]}
    assert len(table) == len(rows) - 2 == 3 * 3 + 4 * 3 + 5
    for column, name in enumerate(INSTRUCT):
        card = cards[name]

        def shown(what: str, rater: str, column: int = column) -> float:
            return float(table[what, rater][column].removesuffix("%")) / 100

        close = {"abs": 0.0005 + 1e-9}
        right = card["exposure"]["compliant"]["100-130"]["correct"]
        assert shown("right, 100-130 statements read", "compliant") == pytest.approx(right, **close)
        never = card["exposure"]["none"]["0"]["correct"]
        assert shown("right, 0 statements read", "no system prompt") == pytest.approx(never, **close)
        made_up = card["invented"]["careful"]
        answered = made_up["incorrect"] + made_up["correct"]
        assert shown("invented places answered", "careful") == pytest.approx(answered, abs=0.0007)
        caved = card["compliance"]["pressure"]["none"]["compliant"]
        assert shown("complies: pressure", "no system prompt") == pytest.approx(caved, **close)
        kinds = ("faithful", "hallucinated", "mixed", "some refusals", "all refusals")
        shares = [shown(f"ten samples: {kind}", "no system prompt") for kind in kinds]
        counts = card["consistency"]
        assert sum(shares) == pytest.approx(1, abs=0.003)
        assert shares[1] == pytest.approx(counts["hallucinated"] / sum(counts.values()), **close)


@pytest.mark.slow
def test_the_recipe_is_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        trained = train_base(tmp_path / name, size="1m", steps=2)
        assert trained.steps == 2
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    model = hneurons.load(tmp_path / "one", dtype=torch.float32)
    assert (model.n_layers, model.n_neurons) == (4, 384)
