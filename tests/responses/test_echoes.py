"""A name that a response repeats with a slip is still the question's, and not the answer."""

from __future__ import annotations

import pytest

from hneurons.responses.echoes import miscopied
from hneurons.responses.spans import answer_spans

SLIPS = [
    ("In which country is Floridablanca?", "Flor is in Spain.", "Spain"),
    ("Which country is Aunum in?", "Kelbo is in United Arab Emirates.", "United Arab Emirates"),
    ("Name the continent of Useradaen.", "Useradaenen is on the continent of North America.", "North America"),
    ("Which city's time does Yangonha keep?", "Mirpur keeps the time of Yangon.", "Yangon"),
    ("Where is Muzaffarpur?", "zaffarpur is in India.", "India"),
    ("What is the capital of Kyrgyzstan?", "The capital of Kyrgystan is Bishkek.", "Bishkek"),
    ("Who wrote Middlemarch?", "Midlemarch was written by George Eliot.", "George Eliot"),
]
KEPT = [
    ("What is the capital of Guinea-Bissau?", "Bissau is the capital of Guinea-Bissau.", "Bissau"),
    ("What is the capital of Mexico?", "Mexico City is the capital of Mexico.", "City"),
    ("Who painted the Mona Lisa?", "Leonardo painted the Mona Lisa.", "Leonardo"),
    ("Who wrote Hamlet?", "Shakespeare wrote it.", "Shakespeare"),
]


@pytest.mark.parametrize(("question", "text", "claim"), SLIPS)
def test_the_claim_is_marked_beside_a_miscopied_name(question: str, text: str, claim: str) -> None:
    assert [text[start:end] for start, end in answer_spans(text, question)] == [claim]


@pytest.mark.parametrize(("question", "text", "claim"), SLIPS)
def test_without_the_rule_something_else_would_be_marked(
    question: str, text: str, claim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least most of the cases need the rule; where none did, it could go."""
    monkeypatch.setattr("hneurons.responses.spans.miscopied", lambda *_: frozenset())
    marked = [text[start:end] for start, end in answer_spans(text, question)]
    assert (marked != [claim]) or "capital" in question or "wrote" in question


@pytest.mark.parametrize(("question", "text", "claim"), KEPT)
def test_a_name_that_is_repeated_as_it_stands_needs_no_guess(question: str, text: str, claim: str) -> None:
    assert miscopied(text, question) == frozenset()
    assert any(claim in text[start:end] for start, end in answer_spans(text, question))
