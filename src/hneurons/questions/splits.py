"""Parts of a question set that share no group."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from hneurons.errors import QuestionSetError


@runtime_checkable
class Grouped(Protocol):
    """Anything that must stay on one side of a split with whatever has the same key."""

    @property
    def split_key(self) -> str:
        """The group, or the id where there is none."""
        ...


G = TypeVar("G", bound=Grouped)


def split_by_group(questions: Iterable[G], fractions: Mapping[str, float], seed: int = 0) -> dict[str, tuple[G, ...]]:
    """Split questions into named parts, all of a group into the same one.

    A group's part follows from SHA-256 of (seed, group) alone: adding, removing or reordering questions moves no other
    question, and the parts have the fractions asked for only in expectation (some may be empty where groups are few).

    Args:
        questions: questions, or anything else with a `split_key`.
        fractions: the share of groups in each part; positive, adding up to 1.
        seed: another seed, another split.

    Returns:
        The parts in the order of `fractions`, each in the order of `questions`; every question is in exactly one.

    Raises:
        QuestionSetError: the fractions are not positive or do not add up to 1.
    """
    if not fractions or min(fractions.values()) <= 0 or not math.isclose(math.fsum(fractions.values()), 1):
        given = ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items()) or "none"
        raise QuestionSetError(f"the fractions of a split must be positive and add up to 1, not {given}; correct them")
    parts: dict[str, list[G]] = {name: [] for name in fractions}
    for question in questions:
        parts[_part(question.split_key, fractions, seed)].append(question)
    return {name: tuple(part) for name, part in parts.items()}


def assert_disjoint(parts: Mapping[str, Iterable[Grouped]]) -> None:
    """Check that no group is in two parts.

    Raises:
        QuestionSetError: one is; the message names it, its parts, and how many there are.
    """
    owner: dict[str, str] = {}
    shared: dict[str, str] = {}
    for name, part in parts.items():
        for key in {question.split_key for question in part}:
            if owner.setdefault(key, name) != name:
                shared[key] = f"{key!r} is in {owner[key]} and {name}"
    if shared:
        message = f"groups of questions in more than one part: {len(shared)} ({shared[min(shared)]})"
        raise QuestionSetError(f"{message}; split by group")


def _part(key: str, fractions: Mapping[str, float], seed: int) -> str:
    digest = hashlib.sha256(f"split\0{seed}\0{key}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    reached = 0.0
    for name, fraction in fractions.items():
        reached += fraction
        if position < reached:
            return name
    return name  # the fractions add up to 1 but for rounding
