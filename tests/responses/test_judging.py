"""Verdicts by rule: what counts as giving an alias, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hneurons.questions.question import Question
from hneurons.responses.judging import judge

CAPITAL = "What is the capital of France?"


def verdict(response: str, *aliases: str, question: str = CAPITAL, answerable: bool = True) -> str:
    return judge(response, Question(id="q", text=question, aliases=aliases, answerable=answerable))


RIGHT = [
    # (response, alias, question)
    ("Paris", "Paris", CAPITAL),
    ("The capital is PARIS.", "Paris", CAPITAL),
    ("paris_france", "Paris", CAPITAL),
    ("São Tomé", "Sao Tome", CAPITAL),
    ("Łódź", "Lodz", CAPITAL),
    ("Москва", "москва", CAPITAL),
    ("The Hague", "Hague", CAPITAL),
    # apostrophes
    ("Eugene O’Neill", "Eugene O'Neill", "Who?"),
    ("Eugene ONeill", "Eugene O'Neill", "Who?"),
    ("Eugene O Neill", "Eugene O'Neill", "Who?"),
    ("Fleming's", "Fleming", "Whose rule is it?"),
    # numbers
    ("1,000", "1000", "How many?"),
    ("one thousand", "1000", "How many?"),
    ("1000", "one thousand", "How many?"),
    ("nineteen sixty-three", "1963", "When?"),
    ("one thousand, nine hundred and sixty-three", "1963", "When?"),
    ("$5 million", "$5,000,000", "How much?"),
    ("£50m", "£50 million", "How much?"),
    ("90 per cent", "90%", "What percentage?"),
    ("90", "90%", "What percentage?"),
    ("800m", "800 metres", "What distance?"),
    ("the second", "2nd", "Which?"),
    ("1940's", "1940s", "Which decade?"),
    ("Henry the Eighth", "Henry VIII", "Which king?"),
    ("Henry 8", "Henry VIII", "Which king?"),
    ("World War Two", "World War II", "Which war?"),
    ("WWII", "World War II", "Which war?"),
    # dates
    ("July 4, 1776", "4th of July 1776", "When?"),
    ("It was on 4 July, 1776.", "July 4, 1776", "When?"),
    ("1776-07-04", "July 4, 1776", "When?"),
    ("4 July 1776", "July 1776", "When?"),
    # spelling
    ("honour", "honor", "What?"),
    ("the theatre", "theater", "Where?"),
    ("beekeeper", "bee keeper", "What?"),
    ("JKL", "J K L", "Which letters?"),
    ("cats", "cat", "Which animal?"),
    ("St. Louis", "Saint Louis", CAPITAL),
    ("Simon and Garfunkel", "Simon & Garfunkel", "Who sang it?"),
    ("Rock 'n' Roll", "rock and roll", "What?"),
    # people
    ("James J. Braddock", "James Braddock", "Who was beaten?"),
    ("James Braddock", "James J. Braddock", "Who was beaten?"),
    ("Joanne Kathleen Rowling", "J. K. Rowling", "Who wrote it?"),
    ("Braddock", "James Braddock", "Who was beaten?"),
    ("Matthew Perry", "Perry, Matthew", "Who played him?"),
    ("Edward III", "King Edward III", "Who was king?"),
    # aliases that say more than is needed
    ("York", "York, North Yorkshire", "Where in England was she born?"),
    ("Birmingham", "Birmingham, Alabama", "In which city was it?"),
    ("Belshazzar", "Belshazzar (Daniel 5:1-5)", "Who saw the writing?"),
    ("Duke of Cambridge", "Prince William (accept Duke of Cambridge)", "Who lives there?"),
    ("Robert Kennedy", "Robert Kennedy, who was Attorney General", "Who was it?"),
    ("IWC", "The International Whaling Commission or IWC", "Who controls whaling?"),
    ("IWC", "International Whaling Commission", "Who controls whaling?"),
    ("Citric", "Citric acid", "What type of acid is in lemons?"),
    ("Structure of DNA", "DNA structure", "What did they discover?"),
    ("Argentine", "Argentina", "What nationality was she?"),
    # lists
    ("Colombia, Brazil & Ecuador", "Brazil, Colombia and Ecuador", "Which three countries are they?"),
    ("1. Ecuador\n2. Colombia\n3. Brazil", "Brazil, Colombia and Ecuador", "Which three countries are they?"),
    ("Huey, Dewey and Louie", "Louie", "Name one of the three nephews."),
    # in the question's own words, and right
    ("Venus is larger than Mars.", "Venus", "Which is larger, Mars or Venus?"),
    ("Harrison Ford's real name is Harrison Ford.", "Harrison Ford", "What is Harrison Ford's real name?"),
    # after a hedge
    ("I'm not sure, but Paris.", "Paris", CAPITAL),
    ("I don't know for certain; it was probably Paris.", "Paris", CAPITAL),
    ("It is not Lyon but Paris.", "Paris", CAPITAL),
    ("Paris, not Lyon", "Paris", CAPITAL),
    # what sounds like a refusal and is the answer
    ("Unknown", "Unknown", "Who is the author?"),
    ("I Don't Know How to Love Him", "I Don't Know How to Love Him", "Which song is it?"),
]

WRONG = [
    ("Parisian", "Paris", CAPITAL),
    ("incorrect", "t", "What letter?"),
    ("C++", "C", "Which language?"),
    # numbers
    ("10000", "1,000", "How many?"),
    ("5.7", "5", "How many?"),
    ("1,500", "500", "How many?"),
    ("5 million", "5", "How many?"),
    ("twenty-one", "20", "How many?"),
    ("two", "2nd", "Which?"),
    ("Henry VII", "Henry VIII", "Which king?"),
    ("1940", "1940s", "Which decade?"),
    ("5 July 1776", "July 4, 1776", "When?"),
    ("July 4, 1777", "July 4, 1776", "When?"),
    ("July 1776", "July 4, 1776", "When?"),
    # another place with the same word in its name
    ("New York", "York", "Which English city is it?"),
    ("South Korea", "North Korea", "Which country?"),
    ("West Virginia", "Virginia", "Which state?"),
    ("Virginia", "West Virginia", "Which state?"),
    ("Papua New Guinea", "Guinea", "Which country?"),
    ("Guinea-Bissau", "Guinea", "Which country?"),
    ("South Africa", "Africa", "Which continent?"),
    ("Iceland", "Ireland", "Which country?"),
    ("Nigeria", "Niger", "Which country?"),
    ("Arkansas", "Kansas", "Which state?"),
    ("Dominica", "Dominican Republic", "Which country?"),
    ("Birmingham, England", "Birmingham, Alabama", "In which city was it?"),
    ("Nigerian", "Niger", "What nationality was she?"),
    # another person
    ("John Quincy Adams", "John Adams", "Who was the second president?"),
    ("Janet Jackson", "Michael Jackson", "Who sang it?"),
    # half of a list
    ("Brazil and Ecuador", "Brazil, Colombia and Ecuador", "Which three countries are they?"),
    ("Vienna, Budapest and Belgrade", "Budapest, Vienna and Bratislava", "Which three cities are they?"),
    # denied
    ("Not Paris.", "Paris", CAPITAL),
    ("It isn't Paris.", "Paris", CAPITAL),
    ("Paris is not the capital.", "Paris", CAPITAL),
    ("Lyon rather than Paris", "Paris", CAPITAL),
    # one guess of many
    ("Paris, Lyon, Nice, Lille", "Paris", CAPITAL),
    ("Paris, Lyon or Nice", "Paris", CAPITAL),
    ("It could be Paris, Lyon, or Nice.", "Paris", CAPITAL),
    ("1. Paris\n2. Lyon\n3. Nice\n4. Lille", "Paris", CAPITAL),
    # the question's own words
    ("Harrison Ford's real name is Bob Smith.", "Harrison Ford", "What is Harrison Ford's real name?"),
    ("Venus is larger than Mars.", "Mars", "Which is larger, Mars or Venus?"),
    ("The Mona Lisa was painted by Raphael.", "Mona Lisa", "Who painted the Mona Lisa?"),
    ("I'm not sure, but Lyon.", "Paris", CAPITAL),
]


@pytest.mark.parametrize(("response", "alias", "question"), RIGHT)
def test_right(response: str, alias: str, question: str) -> None:
    assert verdict(response, alias, question=question) == "correct"


@pytest.mark.parametrize(("response", "alias", "question"), WRONG)
def test_wrong(response: str, alias: str, question: str) -> None:
    assert verdict(response, alias, question=question) == "incorrect"


@pytest.mark.parametrize(
    "response",
    ["I don't know.", "I don't know whether it is Paris or Lyon.", "I cannot say that Paris is the capital.", "", " ."],
)
def test_a_refusal_is_one_even_if_it_names_the_answer(response: str) -> None:
    assert verdict(response, "Paris") == "refusal"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("Blimham is in France.", "incorrect"),
        ("France", "incorrect"),
        ("I'm not sure, but France.", "incorrect"),
        ("I don't know.", "refusal"),
        ("There is no such place as Blimham.", "refusal"),
        ("Blimham does not exist.", "refusal"),
    ],
)
def test_an_unanswerable_question_has_no_right_answer(response: str, expected: str) -> None:
    assert verdict(response, question="In which country is Blimham?", answerable=False) == expected


def test_any_of_several_aliases_is_enough() -> None:
    assert verdict("Lutetia", "Paris", "Lutetia") == "correct"
    assert verdict("Lutetia", "Paris") == "incorrect"


PLAIN = st.from_regex(r"[a-z]{3,8}( [a-z]{3,8})?", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_an_alias_is_a_right_answer_and_inside_a_word_it_is_not(alias: str) -> None:
    if verdict(alias, "zzqzz zzq") == "refusal" or set(alias.split()) <= {"the", "and", "not", "never"}:
        return
    question = "Zzqzz zzq?"
    assert verdict(f"  {alias.upper()}.", alias, question=question) == "correct"
    assert verdict(f"xq{alias.replace(' ', 'q')}qx", alias, question=question) == "incorrect"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=20), st.text(min_size=1, max_size=30))
def test_any_text_has_a_verdict(response: str, alias: str, question: str) -> None:
    assert verdict(response, alias, question=question) in {"correct", "incorrect", "refusal"}
