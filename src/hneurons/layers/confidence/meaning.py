"""How far several samples of one question agree: semantic entropy, consistency, likeness of wording.

Semantic entropy (Kuhn, Gal and Farquhar, arXiv 2302.09664) is the entropy over meanings, not over wordings: samples
that mean the same are one cluster. Its discrete form (Farquhar et al., Nature 630, 2024) takes a cluster's probability
to be its share of the samples. They ask a language model whether each of two samples follows from the other; here two
samples mean the same where each gives the answer of the other by the rules that judge answers (`responses.judging`), in
both directions as there. No language model is asked: what the rules do not see as one (a paraphrase) counts as two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from jaxtyping import Int

from hneurons.errors import ResponseError
from hneurons.questions.question import Question
from hneurons.responses.judging import judge
from hneurons.responses.normalise import words
from hneurons.responses.refusals import is_refusal
from hneurons.responses.spans import answer_spans

SEMANTIC, AGREEMENT, MAJORITY = "semantic entropy", "disagreement with the answer", "disagreement with the majority"
LIKENESS, WORDINGS, DECLINED = "unlikeness of wording", "wordings", "samples that decline"


@dataclass(frozen=True)
class Samples:
    """The samples of one question, by meaning and by wording.

    Attributes:
        meanings: of each sample, the number of its cluster, in order of first appearance.
        wordings: of each sample, the number of its text, likewise.
        texts: the distinct texts.
        declined: the number of the cluster of those that decline to answer; -1 where none does.
    """

    meanings: Int[np.ndarray, " samples"]
    wordings: Int[np.ndarray, " samples"]
    texts: tuple[str, ...]
    declined: int

    def first(self, k: int) -> Samples:
        """The first `k` samples alone."""
        used = int(self.wordings[:k].max()) + 1
        declined = self.declined if self.declined in self.meanings[:k] else -1
        return Samples(self.meanings[:k], self.wordings[:k], self.texts[:used], declined)


def cluster(question: str, texts: Sequence[str]) -> Samples:
    """Put samples that mean the same together.

    A sample joins the first cluster whose first member means the same. Refusals are one meaning, and blank samples
    another.

    Args:
        question: that they answer.
        texts: the samples.

    Raises:
        ResponseError: there is no sample.
    """
    if not texts:
        raise ResponseError("there is no sample to put into clusters; sample each question at least once")
    distinct = list(dict.fromkeys(text.strip() for text in texts))
    number = {text: place for place, text in enumerate(distinct)}
    first: list[str] = []
    meaning: list[int] = []
    for text in distinct:
        same = next((place for place, each in enumerate(first) if same_meaning(each, text, question)), len(first))
        if same == len(first):
            first.append(text)
        meaning.append(same)
    wordings = np.array([number[text.strip()] for text in texts])
    declined = next((place for place, text in enumerate(first) if is_refusal(text)), -1)
    return Samples(np.array(meaning)[wordings], wordings, tuple(distinct), declined)


def same_meaning(a: str, b: str, question: str) -> bool:
    """Whether either response gives the answer of the other, by the rules that judge answers."""
    if a == b:
        return True
    if not a.strip() or not b.strip() or is_refusal(a) or is_refusal(b):
        return is_refusal(a) and is_refusal(b) if a.strip() and b.strip() else False
    if _same_words(_claim(a, question), _claim(b, question)) and _stands(a, question) and _stands(b, question):
        return True
    return _gives(a, b, question) and _gives(b, a, question)


def semantic_entropy(samples: Samples) -> float:
    """Entropy over meanings, in nats: - sum of share * log(share) over the clusters."""
    shares = np.bincount(samples.meanings) / len(samples.meanings)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum()) + 0.0


def figures(samples: Samples, *names: str) -> dict[str, float]:
    """Figures of doubt over the samples of one question, whose first is the answer judged; high is doubtful.

    Semantic entropy; the share of samples that mean another thing than the answer, and another than the most frequent
    meaning (1 - self-consistency); 1 - the mean likeness of two samples (`likeness`, as Kuhn et al. take it for a
    rival); the share of further wordings; and the share of samples that decline, which needs no clusters at all.

    Args:
        samples: of the question.
        names: which figures; all where none is named.
    """
    n, sizes = len(samples.meanings), np.bincount(samples.meanings)
    found: dict[str, Callable[[], float]] = {
        SEMANTIC: lambda: semantic_entropy(samples),
        AGREEMENT: lambda: 1 - float(sizes[samples.meanings[0]]) / n,
        MAJORITY: lambda: 1 - float(sizes.max()) / n,
        LIKENESS: lambda: 1 - mean_likeness(samples),
        WORDINGS: lambda: (len(samples.texts) - 1) / n,
        DECLINED: lambda: float((samples.meanings == samples.declined).mean()) if samples.declined >= 0 else 0.0,
    }
    return {name: found[name]() for name in names or found}


def mean_likeness(samples: Samples) -> float:
    """Mean likeness of two samples, over all pairs; 1 of a single one."""
    times = Counter(samples.wordings.tolist())
    n = len(samples.wordings)
    if n < 2:
        return 1.0
    alike = sum(count * (count - 1) / 2 for count in times.values())
    for a, b in combinations(times, 2):
        alike += times[a] * times[b] * likeness(samples.texts[a], samples.texts[b])
    return alike / (n * (n - 1) / 2)


@lru_cache(maxsize=1 << 16)
def likeness(a: str, b: str) -> float:
    """ROUGE-L (Lin, 2004): F1 of the longest common subsequence of words."""
    first, second = [word.text for word in words(a)], [word.text for word in words(b)]
    if not first or not second:
        return float(first == second)
    row = [0] * (len(second) + 1)
    for word in first:
        before = row
        row = [0]
        for place, other in enumerate(second):
            row.append(before[place] + 1 if word == other else max(before[place + 1], row[place]))
    return 2 * row[-1] / (len(first) + len(second))


def _gives(text: str, other: str, question: str) -> bool:
    """Whether `text` gives what `other` answers."""
    return judge(text, Question(id="-", text=question, aliases=(_claim(other, question),))) == "correct"


@lru_cache(maxsize=1 << 14)
def _stands(text: str, question: str) -> bool:
    """Whether a response gives its own claim: it does not deny it, or hide it among guesses."""
    return _gives(text, text, question)


def _same_words(a: str, b: str) -> bool:
    first, second = words(a), words(b)
    return bool(first) and [word.text for word in first] == [word.text for word in second]


@lru_cache(maxsize=1 << 14)
def _claim(text: str, question: str) -> str:
    """What a response answers, without the words around it."""
    return " ".join(text[start:end] for start, end in answer_spans(text, question)) or text
