"""Answer spans of sentences: where trimming is no help."""

from __future__ import annotations

import pytest

from hneurons.responses.spans import answer_spans

SENTENCES = [
    # (question, response, the marked texts)
    # birth, death, life
    ("Where was Marie Curie born?", "Marie Curie was born in Warsaw.", ["Warsaw"]),
    ("Where was Marie Curie born?", "Curie was born in Warsaw, Poland, in 1867.", ["Warsaw, Poland"]),
    ("When was Marie Curie born?", "Marie Curie was born in Warsaw in 1867.", ["1867"]),
    ("When was Marie Curie born?", "She was born on 7 November 1867.", ["7 November 1867"]),
    ("In what year did Ada Lovelace die?", "Ada Lovelace died in 1852.", ["1852"]),
    ("Where did Mozart die?", "Mozart died in Vienna.", ["Vienna"]),
    ("Who was the wife of John Lennon?", "John Lennon was married to Yoko Ono.", ["Yoko Ono"]),
    ("What nationality was Frida Kahlo?", "Frida Kahlo was Mexican.", ["Mexican"]),
    ("What was Mark Twain's real name?", "Mark Twain's real name was Samuel Clemens.", ["Samuel Clemens"]),
    # capital, country, continent, both ways round
    ("What is the capital of Peru?", "The capital of Peru is Lima.", ["Lima"]),
    ("What is the capital of Peru?", "Lima is the capital of Peru.", ["Lima"]),
    ("Lima is the capital of which country?", "Lima is the capital of Peru.", ["Peru"]),
    ("What is Peru's capital?", "Peru's capital city is Lima.", ["Lima"]),
    ("What is the capital of Peru?", "It is Lima.", ["Lima"]),
    ("What is the capital of Peru?", "The answer is Lima.", ["Lima"]),
    ("What is the capital of Peru?", "The capital is Lima, which lies on the Pacific coast.", ["Lima"]),
    ("Which country is Sokcho in?", "Sokcho is in South Korea.", ["South Korea"]),
    ("Which country is Sokcho in?", "Sokcho is a city in South Korea.", ["South Korea"]),
    ("Which country is Sokcho in?", "Sokcho is located in South Korea, on the continent of Asia.", ["South Korea"]),
    ("Where is Sokcho?", "Sokcho lies in South Korea.", ["South Korea"]),
    ("On which continent is Chad?", "Chad is on the continent of Africa.", ["Africa"]),
    ("In which country is the city of Split?", "The city of Split is located in Croatia.", ["Croatia"]),
    # currency, language, codes, amounts
    ("What is the currency of Japan?", "The currency of Japan is the yen.", ["yen"]),
    ("What is the currency of Japan?", "Japan uses the yen.", ["yen"]),
    ("What is the currency of Japan?", "Japan's currency is the Japanese yen.", ["Japanese yen"]),
    ("Which language is spoken in Brazil?", "Portuguese is spoken in Brazil.", ["Portuguese"]),
    ("Which language is spoken in Brazil?", "The language spoken in Brazil is Portuguese.", ["Portuguese"]),
    ("What is the internet domain of Estonia?", "Estonia's internet domain is .ee.", ["ee"]),
    ("What is the calling code of Ghana?", "The calling code of Ghana is 233.", ["233"]),
    ("How many moons does Mars have?", "Mars has two moons.", ["two"]),
    ("How many players are there in a rugby union team?", "There are fifteen players in a rugby union team.", ["fifteen"]),
    ("How tall is Mount Everest?", "Mount Everest is 8,849 metres tall.", ["8,849 metres"]),
    ("How much did the painting sell for?", "The painting sold for $450 million.", ["$450 million"]),
    ("What percentage of the body is water?", "About 60% of the body is water.", ["60%"]),
    # authors, makers, discoverers: active and passive
    ("Who wrote Hamlet?", "Hamlet was written by William Shakespeare.", ["William Shakespeare"]),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet.", ["William Shakespeare"]),
    ("Who wrote Hamlet?", "William Shakespeare, an English playwright, wrote Hamlet.", ["William Shakespeare"]),
    ("Who wrote Hamlet?", "Hamlet is a play by William Shakespeare.", ["William Shakespeare"]),
    ("Who wrote Hamlet?", "Hamlet was written in 1600 by William Shakespeare.", ["William Shakespeare"]),
    ("Who wrote Hamlet?", "It was William Shakespeare who wrote Hamlet.", ["William Shakespeare"]),
    ("Who wrote Hamlet?", "The author of Hamlet was William Shakespeare.", ["William Shakespeare"]),
    ("Which play by Shakespeare features Ophelia?", "Ophelia features in Hamlet.", ["Hamlet"]),
    ("Which play by Shakespeare features Ophelia?", "Ophelia is a character in Hamlet.", ["Hamlet"]),
    ("Who discovered radium?", "Radium was discovered by Marie and Pierre Curie in 1898.", ["Marie and Pierre Curie"]),
    ("What did Marie Curie discover?", "Marie Curie discovered radium.", ["radium"]),
    ("Who painted the Mona Lisa?", "The Mona Lisa was painted by Leonardo da Vinci.", ["Leonardo da Vinci"]),
    ("Who directed Jaws?", "Jaws was directed by Steven Spielberg.", ["Steven Spielberg"]),
    ("Who invented the telephone?", "The telephone was invented by Alexander Graham Bell.", ["Alexander Graham Bell"]),
    ("Who composed The Planets?", "Gustav Holst composed The Planets.", ["Gustav Holst"]),
    ("Which band recorded Abbey Road?", "Abbey Road was recorded by the Beatles.", ["Beatles"]),
    ("Who played Rhett Butler in Gone with the Wind?", "Rhett Butler was played by Clark Gable.", ["Clark Gable"]),
    ("Who won the World Cup in 2002?", "Brazil won the World Cup in 2002.", ["Brazil"]),
    ("Who won the World Cup in 2002?", "The 2002 World Cup was won by Brazil.", ["Brazil"]),
    ("When did the Titanic sink?", "The Titanic sank in 1912.", ["1912"]),
    ("In which year did the Berlin Wall fall?", "The Berlin Wall fell in 1989.", ["1989"]),
    ("When did the war end?", "The war ended in 1945.", ["1945"]),
    # what things are
    ("What is the longest river in Africa?", "The Nile is the longest river in Africa.", ["Nile"]),
    ("What is the longest river in Africa?", "The longest river in Africa is the Nile.", ["Nile"]),
    ("What is the chemical symbol of gold?", "The chemical symbol of gold is Au.", ["Au"]),
    ("What is a baby kangaroo called?", "A baby kangaroo is called a joey.", ["joey"]),
    ("Which planet is known as the Red Planet?", "Mars is known as the Red Planet.", ["Mars"]),
    ("Which element has the symbol Fe?", "Fe is the symbol for iron.", ["iron"]),
    ("Which is larger, Mars or Venus?", "Venus is larger than Mars.", ["Venus"]),
    ("What is Harrison Ford's real name?", "Harrison Ford's real name is Harrison Ford.", ["Harrison Ford"]),
    ("Who were the first men on the Moon?", "Neil Armstrong and Buzz Aldrin were the first men on the Moon.",
     ["Neil Armstrong and Buzz Aldrin"]),
    ("Who were the first men on the Moon?", "The first men on the Moon were Neil Armstrong and Buzz Aldrin.",
     ["Neil Armstrong and Buzz Aldrin"]),
    # with filler, hedges and explanations around
    ("What is the capital of Peru?", "I think it is Lima.", ["Lima"]),
    ("What is the capital of Peru?", "I'm not sure, but I think it's Lima.", ["Lima"]),
    ("What is the capital of Peru?", "Sure! The capital of Peru is Lima.", ["Lima"]),
    ("What is the capital of Peru?", "Lima. It is the largest city of the country.", ["Lima"]),
    ("What is the capital of Peru?", "The capital of Peru is **Lima**.", ["Lima"]),
    ("What is the capital of Peru?", "The capital of Peru is Lima. It has ten million people.", ["Lima"]),
    ("Who was first on the Moon?", "In 1969, Neil Armstrong was the first on the Moon.", ["Neil Armstrong"]),
    # everything there is to say
    ("", "Marie Curie was born in Warsaw.", ["Warsaw"]),
    ("", "Sokcho is in South Korea, on the continent of Asia. It keeps the time of Seoul.", ["South Korea", "Asia", "Seoul"]),
    ("Tell me about Sokcho.", "Sokcho is in South Korea, on the continent of Asia. It keeps the time of Seoul.",
     ["South Korea", "Asia", "Seoul"]),
    ("Tell me about Japan.", "The capital of Japan is Tokyo. Its currency is the yen, and it is in Asia.", ["Tokyo", "yen", "Asia"]),
    ("Tell me about Japan.", "Japan is in Asia. Its capital is Tokyo and its currency is the yen.", ["Asia", "Tokyo", "yen"]),
    ("Where and when was Marie Curie born?", "Marie Curie was born in Warsaw in 1867.", ["Warsaw", "1867"]),
    ("", "The capital of Peru is Lima.", ["Lima"]),
    ("", "Lima is the capital of Peru.", ["Peru"]),
]  # fmt: skip


@pytest.mark.parametrize(("question", "response", "marked"), SENTENCES)
def test_sentences_are_marked_where_they_answer(question: str, response: str, marked: list[str]) -> None:
    assert [response[a:b] for a, b in answer_spans(response, question)] == marked
