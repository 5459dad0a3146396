"""Closed classes of English words, as far as finding an answer in a sentence needs them."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of `text`, as a set."""
    return frozenset(text.split())


AUXILIARIES = word_set(
    "is are was were be been being am has have had do does did can could will would may might must shall should"
)
RELATIVES = word_set("who whom whose which that where when while because although though since as")
PRONOUNS = word_set("it he she they this that these those there we you i one its his her their")
ARTICLES = frozenset({"a", "an", "the"})
POSSESSIVES = frozenset({"its", "his", "her", "their"})
PREPOSITIONS = word_set(
    "in on at by of to from with for during since after before under over between among near into as about around "
    "within through across against along off beside behind beyond until till per via than"
)
ADJUNCT_PREPOSITIONS = word_set(
    "in on at by from with for during since after before under near around between as to within until into through"
)
"""Prepositions that may begin another piece of information; "of" belongs to what is before it."""

CONJUNCTIONS = word_set("and or but nor so both either plus also then")
ADVERBS = word_set(
    "not also originally actually currently only just still now once often usually commonly generally mostly "
    "probably possibly likely approximately roughly nearly almost best better well most officially formally "
    "formerly widely perhaps maybe famously first later eventually finally both all simply really very much quite "
    "rather around about over some"
)
CONTRACTED = word_set("it's that's he's she's there's they're this's who's here's")
"""A subject and its verb in one word."""

FUNCTION = (
    ARTICLES | AUXILIARIES | PRONOUNS | PREPOSITIONS | CONJUNCTIONS | RELATIVES | ADVERBS | CONTRACTED
    | {"s", "t", "my", "your", "our"}
)  # fmt: skip
"""Words that carry no claim by themselves."""

PARTICLES = word_set("de da di do dos du del van von der den la le el al bin ibn ben ap zu y e")
"""Lower-case words inside names."""

PARTICIPLES = word_set(
    "born located situated found known called named written wrote made built held given taken sung sang set won "
    "led shown spoken drawn cut put kept left bought sold told taught thought begun worn grown thrown flown "
    "driven chosen frozen stolen hidden beaten fought caught sent spent lost met bred spelt seen done gone become "
    "struck hung shot paid due"
)
"""Irregular participles; regular ones are told by -ed."""

VERBS = word_set(
    "wrote became began won sang led made built held gave took ran lies lay stands stood sits rises flows runs "
    "comes came goes went means meant uses plays wears wore contains includes consists belongs keeps kept speaks "
    "spoke borders covers drives drove eats ate fought found lives beat refers stars features represents measures "
    "weighs costs cost equals hosts occurs appears drew sold bought taught wins writes sings gets got left sees "
    "saw says said receives shares drank drinks sank fell rose grew threw knew flew broke chose froze stole bit "
    "shook woke swam rang blew hit burst spread split sent spent lost met caught fed fled sought slept swept "
    "dealt meets falls opens closes begins ends lasts think believe end begin start starts show shows make makes "
    "speak play eat use live run stars produce produces provides wins seeks feeds grows breeds sells serves "
    "borders"
)
"""Verbs in the forms that a statement uses after its subject; regular past forms are told by -ed."""

LABELS = word_set(
    "capital currency continent country city town village state county province region island river name title "
    "time zone timezone code domain language author writer director king queen president year number amount "
    "population area part district municipality community place nation republic member home land kingdom kind "
    "type answer guess date cities countries counties towns islands rivers states money internet calling web"
)
"""Nouns that only say what kind of thing the answer is ("the continent of Asia", "a town in France")."""

FILLERS = word_set(
    "located situated based born called named known lying used considered said thought estimated spelled famous "
    "small large big major beautiful well-known popular historic"
)
"""Words before an answer that claim nothing by themselves."""

_BASES = {
    "write": "wrote written", "win": "won", "sing": "sang sung", "begin": "began begun", "lead": "led", "make": "made",
    "build": "built", "hold": "held", "give": "gave given", "take": "took taken", "run": "ran", "lie": "lay lies",
    "stand": "stood", "come": "came", "go": "went gone", "mean": "meant", "wear": "wore worn", "keep": "kept",
    "speak": "spoke spoken", "drive": "drove driven", "eat": "ate eaten", "fight": "fought", "find": "found",
    "become": "became", "draw": "drew drawn", "sell": "sold", "buy": "bought", "teach": "taught", "beat": "beaten",
    "die": "died dying death", "bear": "born birth", "fly": "flew flown", "know": "knew known", "think": "thought",
    "say": "said", "see": "saw seen", "leave": "left", "shoot": "shot", "lose": "lost", "meet": "met", "send": "sent",
    "drink": "drank drunk", "sink": "sank sunk", "fall": "fell fallen", "rise": "rose risen", "grow": "grew grown",
    "throw": "threw thrown", "break": "broke broken", "choose": "chose chosen", "swim": "swam",
    "live": "lived life lives",
    "spend": "spent", "child": "children", "man": "men", "woman": "women", "person": "people", "foot": "feet",
}  # fmt: skip
_IRREGULAR = {form: base for base, forms in _BASES.items() for form in forms.split()}


def lemma(word: str) -> str:
    """A rough base form, in which a question's words and a response's meet: invented, invents, inventor -> "invent"."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending in ("ing", "ed", "er", "or", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            base = word[: -len(ending)]
            return base[:-1] if len(base) > 4 and base[-1] == base[-2] else base
    return word
