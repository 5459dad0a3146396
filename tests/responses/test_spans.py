"""Answer spans of bare answers, and their place among the generated tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hneurons.responses.spans import answer_spans, span_tokens

BARE = [
    # what surrounds an answer
    ("Lima", ["Lima"]),
    ("  Lima.\n\n", ["Lima"]),
    ('"Lima"', ["Lima"]),
    ("“Lima”.", ["Lima"]),
    ("**Lima**", ["Lima"]),
    ("*The Road*", ["The Road"]),
    ("A: Lima", ["Lima"]),
    ("Answer: Lima", ["Lima"]),
    ("The answer is: Lima.", ["Lima"]),
    # what belongs to it
    ("71%", ["71%"]),
    ("$1,000", ["$1,000"]),
    ("0.999...", ["0.999..."]),
    ("Hello, Dolly!", ["Hello, Dolly!"]),
    ("Who Shot the Sheriff?", ["Who Shot the Sheriff?"]),
    ("Married... with Children", ["Married... with Children"]),
    ("Montgomery & Co.", ["Montgomery & Co."]),
    ("Washington D.C.", ["Washington D.C."]),
    ("Dr. Strangelove.", ["Dr. Strangelove"]),
    ("John F. Kennedy.", ["John F. Kennedy"]),
    ("It's a Wonderful Life", ["It's a Wonderful Life"]),
    ("The haka “Ka Mate”", ["The haka “Ka Mate”"]),
    ("(Sittin' On) The Dock of the Bay", ["(Sittin' On) The Dock of the Bay"]),
    ("The Browns'", ["The Browns'"]),
    ("Ben-Hur (1959)", ["Ben-Hur (1959)"]),
    ("World Health Organization (WHO)", ["World Health Organization (WHO)"]),
    ("Don't You (Forget About Me)", ["Don't You (Forget About Me)"]),
    # a gloss does not
    ("Cougar (Puma concolor)", ["Cougar"]),
    ("National Film Theatre (now BFI Southbank)", ["National Film Theatre"]),
    ("Guanyin (観音)", ["Guanyin"]),
    # lists are one span, lines are one each
    ("Neil Armstrong and Buzz Aldrin", ["Neil Armstrong and Buzz Aldrin"]),
    ("red, white, blue.", ["red, white, blue"]),
    ("1. red\n2. white\n3. blue", ["red", "white", "blue"]),
    ("- red\n- white", ["red", "white"]),
    ("red\nred", ["red"]),
    # what follows is no answer
    ("1608\n\nJanuary: he goes on working at his great book, as he has for years.", ["1608"]),
    ("Lima\nQuestion: What is the capital of Chile?\nAnswer: Santiago", ["Lima"]),
    ("Lima\n\nExplanation: it has been so since 1535.", ["Lima"]),
    ("Lima. It has been the capital since the country was founded.", ["Lima"]),
    # refusals are marked whole
    ("I don't know.", ["I don't know"]),
]


@pytest.mark.parametrize(("response", "marked"), BARE)
def test_bare_answers(response: str, marked: list[str]) -> None:
    question = "What is the name of it?"
    assert [response[a:b] for a, b in answer_spans(response, question)] == marked


def test_keys_that_repeat_the_question_are_left_out() -> None:
    response = "Spain: Madrid\nPeru: Lima"
    spans = answer_spans(response, "What are the capitals of Spain and Peru?")
    assert [response[a:b] for a, b in spans] == ["Madrid", "Lima"]


@pytest.mark.parametrize("response", ["", " \n", "...", "!?", "**"])
def test_nothing_said_has_no_span(response: str) -> None:
    assert answer_spans(response, "Who?") == ()


WORDS = st.sampled_from(
    ["Lima", "is", "the", "capital", "of", "Peru", "(", ")", '"', "'", ".", ",", "not", "I", "don't", "know", "\n",
     "in", "1535", "and", "it", ":", "**", "-", "1.", "who", "was", "by", "é", "東京", "there", "It's", "or", ";"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(WORDS, max_size=18).map(" ".join),
    st.sampled_from(["", "What is the capital of Peru?", "Tell me about Lima."]),
)
def test_spans_lie_in_order_inside_the_text_and_are_not_empty(response: str, question: str) -> None:
    spans = answer_spans(response, question)
    assert bool(spans) == any(c.isalnum() for c in response)
    end = 0
    for a, b in spans:
        assert end <= a < b <= len(response)
        assert any(c.isalnum() for c in response[a:b])
        end = b


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=40))
def test_any_text_is_read(response: str, question: str) -> None:
    for a, b in answer_spans(response, question):
        assert 0 <= a < b <= len(response)


def test_span_tokens_takes_every_token_that_shares_a_character() -> None:
    #          "The", " capital", " is", " Li", "ma", "."
    offsets = ((0, 3), (3, 11), (11, 14), (14, 17), (17, 19), (19, 20))
    assert span_tokens(((15, 19),), offsets) == (3, 4)
    assert span_tokens(((15, 17), (19, 20)), offsets) == (3, 5)
    assert span_tokens((), offsets) == ()


def test_span_tokens_leaves_neighbours_that_only_touch() -> None:
    offsets = ((0, 2), (2, 4), (4, 6))
    assert span_tokens(((2, 4),), offsets) == (1,)
    assert span_tokens(((2, 5),), offsets) == (1, 2), "one character more takes the next token"


def test_span_tokens_takes_the_first_bytes_of_a_character_with_it() -> None:
    offsets = ((0, 1), (1, 1), (1, 1), (1, 2), (2, 3))  # three tokens make the second character
    assert span_tokens(((1, 2),), offsets) == (1, 2, 3)
    assert span_tokens(((2, 3),), offsets) == (4,)


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 20), st.integers(0, 20))
def test_span_tokens_agrees_with_marking_characters(lengths: list[int], a: int, b: int) -> None:
    """Against a mask over characters, for tokens that all have characters of their own."""
    lengths = [n for n in lengths if n]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    offsets = [(s, s + n) for s, n in zip(starts, lengths, strict=True)]
    a, b = sorted((a, b))
    marked = [a <= c < b for c in range(sum(lengths))]
    expected = tuple(i for i, (s, e) in enumerate(offsets) if any(marked[s:e]))
    assert span_tokens(((a, b),), offsets) == expected
