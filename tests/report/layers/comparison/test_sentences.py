"""What is said of the comparison, and the tables of the page."""

from __future__ import annotations

from tests.report.layers.comparison.made import made

from hneurons.layers.comparison.record import Comparison
from hneurons.report.layers.comparison.sentences import sentences
from hneurons.report.layers.comparison.views import comparison_levels, comparison_sets
from hneurons.report.page import make_environment


def said(found: Comparison) -> str:
    return "\n".join(sentences(found))


def test_where_the_kinds_differ_is_named_with_controls_beside() -> None:
    text = said(made())
    assert "The kinds differ at some layer on 3 of 3 sets; the largest difference lies in the last third" in text
    assert "on 3 of them" in text
    assert (
        "the residual stream from layer 2 on, the attention output nowhere and the FFN output from layer 1 on" in text
    )
    assert "The largest effect is g = 0.700 [0.600, 0.800], FFN output of layer 3, where permuted labels give" in text
    assert "AUROC 0.700 [0.650, 0.750] against 0.450 to 0.550 of permuted labels" in text
    assert "+0.200 [0.150, 0.250] over length and kind, +0.100 [0.050, 0.150] over these" in text
    assert "States tell more than the former at 5 of 12 places, more than the latter at 2." in text


def test_what_matching_removes_is_named() -> None:
    assert "Before matching, 12 of 12 places differ, after it 5; what goes is at layers 0, 1, 2 and 3" in said(made())


def test_borrowed_and_unmatched_and_missing_sets_say_so() -> None:
    text = said(made())
    assert "Its faithful answers are those of plain" in text
    assert "3 pairs match, too few (of the answers, 3 pairs are matched" in text
    assert "tiny is not compared: there are 3 questions with a faithful answer." in text


def test_similarity_in_words() -> None:
    text = said(made())
    assert "arranged alike with CKA 0.60 to 0.90, by layer" in text
    assert "it is higher at 1 of 12 places of all reads, by 0.030 at most." in text
    assert "the kinds differ at 1 of 9 steps, most in the attention output of layer 2 to 3: CKA 0.350" in text


def test_where_nothing_differs_nothing_is_claimed() -> None:
    found = made()
    sets = []
    for each in found.sets:
        every = each.every.model_copy(
            update={
                "levels": tuple(
                    level.model_copy(update={"effect_against": level.effect_against.model_copy(update={"q": 0.5})})
                    for level in each.every.levels
                )
            }
        )
        sets.append(each.model_copy(update={"every": every, "matched": None, "adjacent": (), "across": ()}))
    text = said(found.model_copy(update={"sets": tuple(sets)}))
    assert "On no set do the two kinds differ" in text
    assert "the residual stream nowhere, the attention output nowhere and the FFN output nowhere" in text


def test_tables() -> None:
    found = made()
    lines = comparison_sets(found)
    assert [line.name for line in lines] == ["plain", "unmatched <b>", "invented (plain)"]
    assert lines[0].response_tokens == "+0.30 → 0.00"
    assert str(lines[0].baseline_after) == "0.500 [0.480, 0.520]"
    assert lines[1].baseline_after.why.startswith("of the answers, 3 pairs")
    levels = comparison_levels(found.sets[0])
    assert len(levels) == 12
    assert levels[-1].place == "FFN output, 3"
    assert levels[-1].kind == "ours"
    assert levels[0].kind == ""
    assert str(levels[-1].effect) == "0.700 [0.600, 0.800]"


def test_the_page_escapes_names() -> None:
    from hneurons.report.layers.comparison.views import COMPARISON_VIEWS

    environment = make_environment()
    environment.globals.update(COMPARISON_VIEWS)
    template = environment.from_string(
        '{% from "macros.html" import cell with context %}{% include "layers/comparison.html" %}'
    )
    page = template.render(part={"found": made()})
    assert "unmatched &lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("<details>") == 3
