"""Pairs of a faithful and a hallucinated answer that differ in nothing but what they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hneurons.layers.answered import Answered
from hneurons.layers.causality.inputs import Input, Noise
from hneurons.questions.loading import rank

Group = Literal["subject first", "subject middle", "subject last", "question", "template", "name", "said", "last"]
"""Positions of a pair from where its two runs first differ.

The tokens of the subject; those of the question and of the template after it; of what was said so far, those that
differ between the runs ("name": the answer repeats what it is about) and the others; and the last token, where the
answer is predicted. What stands before the subject is the same in both runs, and so is all that is computed there.
"""
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two questions of one wording and one number of tokens, one answered right (clean), one hallucinated (corrupt).

    Attributes:
        clean: the faithful answer.
        corrupt: the hallucinated answer.
        groups: positions by group, the same in both; a group that has none is left out.
    """

    clean: Answered
    corrupt: Answered
    groups: Mapping[Group, tuple[int, ...]]

    @property
    def key(self) -> str:
        """Names it."""
        return f"{self.clean.key} {self.corrupt.key}"

    @property
    def index(self) -> int:
        """Index into both responses of the token that decides."""
        return _fork(self.corrupt)

    @property
    def answers(self) -> tuple[int, int]:
        """The token with which the clean answer goes on, and that with which the hallucinated one does."""
        return self.clean.response_ids[self.index], self.corrupt.response_ids[self.index]

    @property
    def clean_input(self) -> Input:
        """The clean question and its answer up to the token that decides."""
        return Input(self.clean.prompt_ids + self.clean.response_ids[: self.index])

    @property
    def corrupt_input(self) -> Input:
        """The corrupt question and its answer up to the token that decides."""
        return Input(self.corrupt.prompt_ids + self.corrupt.response_ids[: self.index])

    @property
    def mentions(self) -> tuple[int, ...]:
        """Positions of the subject, also where the answer repeats it."""
        named: tuple[Group, ...] = ("subject first", "subject middle", "subject last", "name")
        return tuple(sorted(position for group in named for position in self.groups.get(group, ())))

    def noisy_input(self, sigma: float, draw: int, seed: int) -> Input:
        """The clean input with noise on the embeddings of its `mentions`."""
        return Input(self.clean_input.token_ids, Noise(self.mentions, sigma, self.clean.key, draw, seed))


def find_pairs(
    hallucinated: Sequence[Answered], faithful: Sequence[Answered], seed: int = 0, used: set[str] | None = None
) -> tuple[list[Pair], dict[str, int]]:
    """Give each hallucinated answer a faithful one, no question twice, in an order that the seed decides.

    The two prompts have the same number of tokens and the same segments, and equal tokens outside the subject; the
    responses have the same number of tokens up to the one that decides, and decide differently.

    Args:
        hallucinated: answers to be paired.
        faithful: answers to choose from.
        seed: of the order.
        used: groups of questions that are taken already; those of the pairs are added.

    Returns:
        The pairs, and how many hallucinated answers have none, by reason.
    """
    taken = set() if used is None else used
    by_form: dict[Hashable, list[Answered]] = {}
    for answer in sorted(faithful, key=lambda answer: rank(answer.key, seed)):
        if answer.fork is not None and "subject" in answer.segments:
            by_form.setdefault(_form(answer), []).append(answer)
    pairs: list[Pair] = []
    unpaired: Counter[str] = Counter()
    for answer in sorted(hallucinated, key=lambda answer: rank(answer.key, seed)):
        if answer.fork is None:
            unpaired["given and right answer part nowhere"] += 1
        elif "subject" not in answer.segments:
            unpaired["no subject is known"] += 1
        elif answer.group in taken:
            unpaired["its question is in another pair"] += 1
        elif not (alike := by_form.get(_form(answer), [])):
            unpaired["no faithful answer of this wording and length"] += 1
        else:
            given = answer.response_ids[_fork(answer)]
            free = [each for each in alike if each.group not in taken and each.group != answer.group]
            fit = next((each for each in free if each.response_ids[_fork(each)] != given), None)
            if fit is None:
                unpaired["every such answer says the same or is taken"] += 1
                continue
            taken |= {answer.group, fit.group}
            pairs.append(Pair(fit, answer, groups_of(fit, answer)))
    return pairs, dict(unpaired)


def groups_of(clean: Answered, corrupt: Answered) -> dict[Group, tuple[int, ...]]:
    """The positions of a pair by group; what stands before its subject is in none."""
    n, index = len(clean.prompt_ids), _fork(corrupt)
    last = n + index - 1
    subject = [position for position, segment in enumerate(clean.segments) if segment == "subject"]
    ours, theirs = clean.response_ids[:index], corrupt.response_ids[:index]
    differing = [n + place for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    name = set(range(differing[0], differing[-1] + 1)) if differing else set()
    found: dict[Group, list[int]] = {group: [] for group in GROUPS}
    for position in range(subject[0], last + 1):
        if position == last:
            group: Group = "last"
        elif position >= n:
            group = "name" if position in name else "said"
        elif position == subject[-1]:
            group = "subject last"
        elif position == subject[0]:
            group = "subject first"
        elif clean.segments[position] == "subject":
            group = "subject middle"
        else:
            group = "template" if clean.segments[position] in ("first", "template") else "question"
        found[group].append(position)
    return {group: tuple(positions) for group, positions in found.items() if positions}


def chosen(pairs: Mapping[str, Sequence[Pair]], n: int, seed: int = 0) -> list[tuple[str, Pair]]:
    """At most `n` pairs with the names of their sets, as many of each set as there are to be had."""
    queues = {name: sorted(own, key=lambda pair: rank(pair.key, seed)) for name, own in pairs.items()}
    found: list[tuple[str, Pair]] = []
    while len(found) < n and any(queues.values()):
        for name, queue in queues.items():
            if queue and len(found) < n:
                found.append((name, queue.pop(0)))
    return found


def _fork(answer: Answered) -> int:
    assert answer.fork is not None
    return answer.fork.index


def _form(answer: Answered) -> Hashable:
    outside = tuple(
        None if segment == "subject" else token
        for token, segment in zip(answer.prompt_ids, answer.segments, strict=True)
    )
    return answer.kind, answer.segments, outside, _fork(answer)
