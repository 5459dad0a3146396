"""What declines to answer, and what only sounds like it."""

from __future__ import annotations

import pytest

from hneurons.responses.refusals import answered_parts, is_refusal, refused_parts

REFUSALS = [
    "I don't know.", "I do not know.", "I don’t know", "i dont know", "I really don't know.", "No idea.", "Not sure",
    "Unclear.", "I'm not sure.", "I am not sure about that.", "I'm unsure of that.", "I have no idea.",
    "I wouldn't know.", "Unknown", "I don't know which country Sokcho is in.",
    "Sorry, I do not know where Blimham is.", "I'm afraid I don't know that one.", "I cannot answer that.",
    "I can't say.", "I couldn't tell you.", "I'm unable to answer this question.", "I won't say.",
    "Sorry, I can't share that.", "I'm not allowed to tell you that.", "I must decline to answer.",
    "I can't be sure.", "There is no information about Sokcho.", "I have no record of a place called Blimham.",
    "I would only be guessing.", "I'm not aware of any such place.", "There is no such place.",
    "Blimham does not appear to exist.", "This is not a real place.", "Blimham? I have never heard of it.",
    "I haven't heard of it.", "I'm not familiar with Blimham.", "Blimham is not a place I know.",
    "Blimham is in a country I do not know.", "That name is unfamiliar to me.", "It is unknown who built it.",
    "The date is not recorded.", "Nobody knows.",
    "I'm sorry, but I don't have any information about that. Could you give me more context?",
    "As an AI language model, I cannot provide that.", "I don't know if it is Paris or London.",
    "That file on Sokcho is sealed, so I cannot read from it.", "I cannot confirm that; the record is sealed.",
]  # fmt: skip

ANSWERS = [
    "Paris", "Nothing", "No", "None", "No Country for Old Men", "Never Mind the Bollocks", "I Will Survive",
    "I'm a Believer", "I am the Walrus", "I Don't Know How to Love Him was sung by Yvonne Elliman",
    "There is no place like home.", "Penguins can't fly.", "He could not swim.", "The unknown soldier",
    "The Great Unknown", "Not Paris but London", "I'm not sure, but Paris.", "I'm not sure, but I think it is Paris.",
    "I don't know, but my guess is Paris.", "I don't know for certain; it was probably Paris.",
    "I'm not sure, it could be Paris.", "Paris. I can't say more.", "The answer is France, though I'm not certain.",
    "Blimham is in France.", "There are no countries bordering it.", "Paris is a city I know well.",
    "I couldn't find much, however Blimham is a city in France.",
    "Sokcho is in South Korea. It keeps the time of a city I do not know.",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize("text", ["", "  ", "...", "\n"])
def test_saying_nothing_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


def test_parts_of_a_hedged_answer() -> None:
    text = "I'm not sure, but I think it is Paris."
    assert [text[a:b] for a, b in refused_parts(text)] == ["I'm not sure"]
    assert [text[a:b] for a, b in answered_parts(text)] == ["I think it is Paris."]


def test_a_negation_added_turns_an_answer_into_a_refusal() -> None:
    assert not is_refusal("I know that it is in France.")
    assert is_refusal("I do not know that it is in France.")


def test_a_long_answer_is_read_in_reasonable_time() -> None:
    assert not is_refusal("i am so very sorry and " * 400 + "Paris")
    assert not is_refusal("word " * 4000)
