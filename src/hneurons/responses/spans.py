"""Where in a response the answer is: the characters that carry the claim, without filler.

By rule, and from the response and the question alone, never from the right answer: a span that knew what is right would
hand the label to whatever is trained on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hneurons.responses.asked import Asked, asked, base, lemmas
from hneurons.responses.claims import claim_spans
from hneurons.responses.echoes import miscopied
from hneurons.responses.grammar import LABELS
from hneurons.responses.refusals import answered_parts, is_refusal, refused_parts
from hneurons.responses.response import Span
from hneurons.responses.sentences import sentences, trim

_LEAD = re.compile(
    r"\s*(?:(?:yes|no|sorry|i apologi[sz]e)\b[^.!?\n]{0,40}\b(?:sure|certain|right|wrong|mistaken|confusion)[.!]\s+"
    r"|(?:sure|certainly|of course|yes|well|okay|ok|hmm)[,.!]+\s+"
    r"|(?:the |my )?(?:final |correct |right |best )?(?:answer|guess|response)\s*(?::|is:)\s*|(?:a|ans):\s+"
    r"|(?:in short|i think|i believe|i guess|i would say|i'd say|probably|perhaps|maybe|as far as i know"
    r"|to my knowledge),?\s+(?:that\s+)?(?=\S))+",
    re.IGNORECASE,
)
_NEXT_TURN = re.compile(
    r"\n\s*(?:question|q|user|human|explanation|note|reason(?:ing)?|context|source|answer|a)\s*:", re.IGNORECASE
)
_BULLET = re.compile(r"\s*(?:[-*•–]\s+|\(?\d{1,2}[.)]\s+)")
_KEY = re.compile(r"([^:\n]{1,40}):\s+(?=\S)")
_PAIRS = {"(": ")", "[": "]", "{": "}", "“": "”", "‘": "’", "«": "»", '"': '"', "'": "'"}
_SURROUNDING = "".join(_PAIRS) + "".join(_PAIRS.values()) + "*_`"
_ABBREVIATED = re.compile(r"(?:\b(?:Co|Inc|Ltd|Corp|Bros|etc|Esq|Ph\.D|[ap]\.m)|(?:\b[A-Z]\.)+[A-Z])\.$")
_GLOSS = re.compile(r"\s*\(([^()]*)\)$")
_PART_OF_NAME = re.compile(r"[A-Z][A-Z&.-]+|[12]\d{3}(?:[-–]\d{2,4})?|[A-Z]\S*(?: \S+)+ [A-Z]\S*")
_YES_OR_NO = re.compile(
    r"\s*(?:is|are|was|were|am|do|does|did|can|could|has|have|had|will|would|should)\b", re.IGNORECASE
)
_RULES_OUT = re.compile(r"\b(?:is|are|was|were|did|does|do|has|have)(?: not|n['’]t)\b(?! (?:only|just|until))")
_YES = re.compile(r"\W*(yes|no)\b(?=\W)", re.IGNORECASE)
_SHORT = 8


def answer_spans(text: str, question_text: str = "") -> tuple[Span, ...]:
    """The characters of `text` that carry the claim, as half-open ranges in order.

    A bare answer is one span: the text without blanks, lead-in ("A:", "The answer is"), final full stop, quotes,
    mark-up and later explanation; a list is one span. Of a sentence it is the side that does not repeat the question.
    Where that asks for all there is to say ("Tell me about X."), or is empty, every claim has its span; otherwise the
    first that answers does.

    A text with any letter or digit has at least one span; a refusal, or where no rule finds less, all of it.
    """
    question = asked(question_text)
    question = question._replace(lemmas=question.lemmas | miscopied(text, question_text))
    body = _body(text)
    if is_refusal(text):
        return tuple(filter(None, [_bare(text, trim(text, 0, len(text)))]))
    lines = _lines(text, body)
    if _YES_OR_NO.match(question_text) and (yes := _YES.match(text)):
        return (yes.span(1),)
    found: list[Span] = []
    for line in _without_explanation(text, lines):
        found += _line_spans(text, line, question)
        if found and not question.everything and len(lines) > 1 and len(text[slice(*line)].split()) > _SHORT:
            break
    return tuple(found) or tuple(filter(None, [_bare(text, body)]))


def span_tokens(spans: Sequence[Span], offsets: Sequence[Span]) -> tuple[int, ...]:
    """The tokens that carry a span: those that share a character with it.

    Args:
        spans: Character ranges of the text.
        offsets: The character range of each generated token in the same text; an empty range (a token that adds no
            character of its own) belongs to the next token that has one, and is taken with it.
    """
    taken: set[int] = set()
    waiting: list[int] = []
    for i, (start, end) in enumerate(offsets):
        waiting.append(i)
        if start == end:
            continue
        if any(max(start, a) < min(end, b) for a, b in spans):
            taken.update(waiting)
        waiting = []
    return tuple(sorted(taken))


def _body(text: str) -> Span:
    """The part of `text` that answers: without the turns and explanations that a model may go on with."""
    following = _NEXT_TURN.search(text, len(text) - len(text.lstrip()))
    return trim(text, 0, following.start() if following and text[: following.start()].strip() else len(text))


def _lines(text: str, body: Span) -> list[Span]:
    """The lines that say something, without bullets and headings."""
    lines: list[Span] = []
    for match in re.finditer(r"[^\n]+", text[: body[1]]):
        start, end = trim(text, max(match.start(), body[0]), match.end())
        bullet = _BULLET.match(text, start, end)
        if bullet and bullet.end() < end:
            start = bullet.end()
        again = any(text[slice(*line)] == text[start:end] for line in lines)
        if any(c.isalnum() for c in text[start:end]) and not again:
            lines.append((start, end))
    lines = [line for line in lines if text[slice(*line)].lower() not in {"or", "and"}] or lines
    content = [line for line in lines if not text[slice(*line)].rstrip("*_ ").endswith(":")]
    return content or lines


def _without_explanation(text: str, lines: Sequence[Span]) -> Sequence[Span]:
    """The first line alone, where it is short and what follows is long: an answer and its explanation."""
    sizes = [len(text[slice(*line)].split()) for line in lines]
    return lines[:1] if len(lines) > 1 and sizes[0] <= _SHORT < max(sizes[1:]) else lines


def _line_spans(text: str, line: Span, question: Asked) -> list[Span]:
    """The spans of one line: of each sentence, or of the first that answers."""
    start, end = line
    key = _KEY.match(text, start, end)
    if key and _repeats(key[1], question):
        start = key.end()
    lead = _LEAD.match(text, start, end)
    if lead and lead.end() < end:
        start = lead.end()
    found: list[Span] = []
    sentences_here = _answering(text, (start, end))
    for sentence in sentences_here:
        if not question.everything and sentence != sentences_here[-1] and _RULES_OUT.search(text, *sentence):
            continue
        lead = _LEAD.match(text, *sentence)
        inside = (lead.end(), sentence[1]) if lead and lead.end() < sentence[1] else sentence
        claimed = claim_spans(text, inside, question)
        bare = _bare(text, inside)
        if claimed:
            found += claimed
        elif bare and (not found or question.everything or len(text[slice(*bare)].split()) <= 3):
            found.append(bare)
        if found and not question.everything and (claimed or _explained(text, inside, line)):
            break
    return found


def _repeats(key: str, question: Asked) -> bool:
    """Whether what stands before a colon only says what was asked, or what kind of thing it is ("Capital: Lima")."""
    said = lemmas(key)
    return bool(said) and said <= question.lemmas | {base(label) for label in LABELS}


def _answering(text: str, line: Span) -> list[Span]:
    """The sentences of a line; where it declines and then answers, the clauses that answer."""
    part = text[slice(*line)]
    whole = [(line[0] + a, line[0] + b) for a, b in sentences(part)]
    answered = [(line[0] + a, line[0] + b) for a, b in answered_parts(part)] if refused_parts(part) else []
    return answered or whole


def _explained(text: str, sentence: Span, line: Span) -> bool:
    """Whether what follows a bare answer on its line is a statement rather than more of the list."""
    return len(text[sentence[1] : line[1]].split()) > 3


def _bare(text: str, span: Span) -> Span | None:
    """A bare answer without what surrounds it; None if nothing is left."""
    start, end = trim(text, *span)
    gloss = _GLOSS.search(text[start:end].rstrip("."))
    if gloss and gloss.start() > 0 and not _PART_OF_NAME.fullmatch(gloss[1].strip()):
        end = start + gloss.start()
    while end > start:
        first, last = text[start], text[end - 1]
        if first in _SURROUNDING and not _closed(text, start, end):
            start += 1
        elif last in _SURROUNDING + ".。,;:" and not _needed(text, start, end):
            end -= 1
        elif first in ".,;:":
            start += 1
        elif (trimmed := trim(text, start, end)) != (start, end):
            start, end = trimmed
        else:
            break
    return (start, end) if any(c.isalnum() for c in text[start:end]) else None


def _closed(text: str, start: int, end: int) -> bool:
    """Whether what opens [start, end) closes before its end ("(Sittin' On) The Dock of the Bay")."""
    closing = text.find(_PAIRS[text[start]], start + 1, end) if text[start] in _PAIRS else -1
    return closing > start and any(c.isalnum() for c in text[closing:end])


def _needed(text: str, start: int, end: int) -> bool:
    """Whether the mark that ends [start, end) belongs to it: an abbreviation's stop, or what closes a pair inside."""
    part, last = text[start:end], text[end - 1]
    if last == ".":
        return bool(_ABBREVIATED.search(part)) or bool(re.search(r"\d\.\.\.$", part))
    opening = {closing: opening for opening, closing in _PAIRS.items()}.get(last)
    if opening is None:
        return False
    if opening == last:  # straight quotes: an even number of them is closed inside; the Browns' is no quotation
        return part.count(last) % 2 == 0 or (last == "'" and part[-2:-1] == "s" and part.count(last) == 1)
    return last != "’" and opening in part
