"""Refusals: what a response says when it does not answer."""

from __future__ import annotations

import re

from hneurons.responses.response import Span
from hneurons.responses.sentences import clauses, sentences

_CONTRACTIONS = (
    (re.compile(r"[’‘ʼ`´]"), "'"),
    (re.compile(r"\b(?:can't|cannot|cant)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bdont\b"), "do not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\b(i|we)'ve\b"), r"\1 have"),
    (re.compile(r"\b(i|we)'d\b"), r"\1 would"),
    (re.compile(r"\b(that|it|there)'s\b"), r"\1 is"),
)
_EMPHASIS = re.compile(
    r"\b(?:really|currently|actually|entirely|quite|completely|exactly|just|simply|even|unfortunately|sadly|certainly"
    r"|personally|honestly|still|also|at (?:this|the) (?:time|moment)|fully|totally|truly|very|100%)\s"
)
"""What changes nothing about a refusal, and is left out so that the patterns need not allow for it everywhere."""

_THING = (
    r"(?:information|records?|data|evidence|mention|knowledge|details?|references?|results?|answer|idea|clue|memory)"
)
_UNKNOWN = (
    r"(?:unknown|uncertain|unclear|undisclosed"
    r"|not (?:publicly )?(?:known|recorded|documented|available|specified|clear|disclosed))"
)
_KNOW = r"(?:know|recall|remember|recogni[sz]e|have|find|see|possess|understand|think i know|believe i know)"
_TELL = (
    r"(?:say|tell|answer|find|provide|give|share|help|determine|confirm|verify|identify|name|recall|remember|locate"
    r"|be sure|be certain|assist|disclose|reveal|discuss|comply|speculate|guess|fulfil|do (?:that|this|so)|offer"
    r"|respond|access|think of|complete|talk|read|open|show)"
)
_ABLE = (
    r"(?:sure|certain|aware|able|familiar|confident|allowed|permitted|at liberty|in a position|going to|capable"
    r"|comfortable|acquainted)"
)
_ABOUT = r"(?:to me|who|whom|whose|what|which|where|when|why|how|if|whether|about|at all|of|on|from)"

_SPEAKER = (
    rf"\b(?:i|we) do not {_KNOW}\b",
    r"\b(?:i|we) did not (?:know|find|see|recogni[sz]e)\b",
    r"\bi (?:have|had) (?:never|not) (?:heard|come across|seen|encountered)\b|\bi never heard\b",
    r"\bi would not know\b",
    rf"\b(?:i|we) (?:can|could|will|would|may|must|should|am|are) (?:not|rather not)(?: be able to)? {_TELL}\b",
    r"\bi (?:can|could|will|would) (?:not|rather not)\W*$",
    r"\bi (?:must |have to )?(?:refuse|decline|prefer not) to\b|\bi must decline\b",
    rf"\b(?:i|we) (?:am|are) (?:not|un) ?{_ABLE}\b",
    r"\bi (?:am|would be|would only be) (?:only )?guessing\b|\bi would (?:only )?have to guess\b",
    rf"\bi (?:have|had|found|find|see|lack) (?:no|not enough|insufficient|little|limited|any) (?:\w+ )?{_THING}\b",
    r"\bi know (?:nothing|of no|no)\b",
    r"\b(?:escapes|means nothing to|rings no bell (?:to|for|with)) me\b",
    r"\bis (?:new|unfamiliar|unknown|not (?:known|familiar)) to me\b",
    r"\b(?:outside|beyond) (?:of )?(?:my|what i)\b",
    r"\bnot (?:a|an|any|one|something|anything|anywhere|somewhere)\b[^,]{0,30}\bi (?:know|recogni[sz]e|can|am|have)\b",
    r"\bas an? (?:ai|artificial|language|large)\b.*\bnot\b",
)
_WORLD = (
    r"\b(?:there (?:is|are|was|were)|has|have|found|finds?) (?:no|not any|not enough|insufficient|little)"
    rf"(?: \w+){{0,2}} {_THING}\b",
    r"\bthere (?:is|are|was|were) no (?:such|known|real)\b",
    rf"\bno (?:\w+ )?{_THING} (?:is|was|are|were|can be|could be|has been|on|about|exists?)\b",
    rf"\b(?:is|are|was|were|remains?) {_UNKNOWN}(?:\W*$| {_ABOUT}\b)",
    r"\b(?:does|do|did) not (?:exist|ring a bell|seem familiar)\b",
    r"\b(?:does|do|did) not (?:appear|seem) (?:to exist|in my|to be (?:a |an |any )?(?:real|known|actual))\b",
    r"\b(?:is|are|was) not (?:a |an )?(?:real|known|actual|recogni[sz]ed|existing)\b",
    r"\bno(?:body|[ -]one)\b(?: \w+)? knows\b",
    r"\b(?:needs?|requires?) (?:more|further|additional) (?:context|information|details?)\b",
    r"\bis (?:not possible|impossible|difficult|hard) (?:for me )?to (?:say|tell|know|determine|answer|identify)\b",
    r"\b(?:answer|record|fact|entry|file|information|it|that)\b.{0,40} is (?:sealed|secret|restricted|confidential)\b",
)
_BARE = (  # a clause that begins so, and says no more than what is asked
    rf"^\W*(?:{_UNKNOWN}|unsure|no idea|no clue|not sure|not certain|do not know|dunno|idk|can not (?:say|tell)"
    r"|no answer|none known|n/a|hard to say|impossible to say|who knows|not enough information|unanswerable)\b"
    rf"(?:\W*$|\W+{_ABOUT}\b)",
)
_REFUSAL = tuple(re.compile(pattern) for pattern in (*_SPEAKER, *_WORLD, *_BARE))

_TITLE = re.compile(r"\bI (?:D|C|W|A|H|N)[a-z]+['’]?[a-z]* [A-Z]")
"""A title that sounds like a refusal: "I Don't Know How to Love Him"."""

_NOTHING_SAID = re.compile(
    r"^\W*(?:(?:i am|i|we are|so|very|sorry|afraid|my apologies|apologies|apologi[sz]e|unfortunately|regrettably|sadly"
    r"|well|hmm+|oh|ah|honestly|hello|hi|thank you|thanks"
    r"|(?:that is )?an? (?:good|great|interesting|hard|tough) question"
    r"|good question|to be honest|as an? (?:ai|language|large)[^,.]*|as far as i know|to my knowledge|for|about|to say"
    r"|that|this|the inconvenience|no|yes|and|but|it|answer|a|q)\b\W*)*$"
)
_OFFER = re.compile(
    r"^\W*(?:please|could you|can you|would you|is there|do you|did you|what else|how (?:else|can|may)|let me know"
    r"|if you|feel free|you (?:may|might|can|could|should)"
    r"|i (?:would |can )?(?:recommend|suggest|advise|hope|apologi[sz]e)|i can help|i would be (?:happy|glad)"
    r"|i am (?:sorry|here)|perhaps you|maybe you|it (?:is possible|may be|might be) that"
    r"|my (?:knowledge|training|information)"
    r"|try|check|consult)\b"
)


def is_refusal(text: str) -> bool:
    """Whether `text` declines to answer: it does not know, cannot say or finds no such thing, and claims nothing else.

    "I'm not sure, but Paris." is an answer. A text without a letter or digit says nothing, and counts as a refusal.
    """
    return not any(c.isalnum() for c in text) or (bool(refused_parts(text)) and not answered_parts(text))


def refused_parts(text: str) -> tuple[Span, ...]:
    """The clauses of `text` that decline to answer."""
    return tuple(
        part for sentence in sentences(text) for part in clauses(text, sentence) if declines(text[slice(*part)])
    )


def answered_parts(text: str) -> tuple[Span, ...]:
    """The clauses of `text` that answer: no refusal, apology, offer or question back; all of it if nothing refuses."""
    if not refused_parts(text):
        return tuple(part for sentence in sentences(text) for part in clauses(text, sentence))
    answers: list[Span] = []
    for sentence in sentences(text):
        parts = clauses(text, sentence)
        refusing = [declines(text[slice(*part)]) for part in parts]
        if any(refusing) or not text[: sentence[1]].endswith("?"):
            answers += [p for p, no in zip(parts, refusing, strict=True) if not no and _claims(text[slice(*p)])]
    return tuple(answers)


def declines(clause: str) -> bool:
    """Whether one clause says that the speaker does not know or will not say."""
    expanded = _expand(clause)
    return not _TITLE.search(clause) and any(pattern.search(expanded) for pattern in _REFUSAL)


def _claims(clause: str) -> bool:
    expanded = _expand(clause)
    return not _NOTHING_SAID.match(expanded) and not _OFFER.match(expanded)


def _expand(clause: str) -> str:
    """Lower case, contractions written out, adverbs that change nothing left out."""
    text = clause.lower()
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    return " ".join(_EMPHASIS.sub("", text).split())
