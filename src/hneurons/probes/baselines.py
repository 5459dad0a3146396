"""What H-Neurons are held against: everything simpler, and everything denser, fitted on the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from pydantic import BaseModel, ConfigDict
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from hneurons.errors import ProbeError
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap, Estimate, single_class
from hneurons.probes.detectors import Detector, LogisticDetector, best_threshold, detect_by
from hneurons.probes.logistic import fit_logistic


def length_only(train: Answers, dev: Answers) -> LogisticDetector:
    """Reads nothing but the logarithms of the numbers of answer tokens and response tokens."""
    return detect_by("length", lambda a: np.log1p(a.read("n_answer", "n_response")), train, dev)


def log_probability(train: Answers, dev: Answers) -> LogisticDetector:
    """Reads the mean log-probability of the answer tokens."""
    return detect_by("token log-probability", lambda a: a.read("log_prob"), train, dev)


def entropy(train: Answers, dev: Answers) -> LogisticDetector:
    """Reads the mean entropy of the model's distribution at the answer tokens."""
    return detect_by("token entropy", lambda a: a.read("entropy"), train, dev)


def all_neurons(train: Answers, dev: Answers) -> LogisticDetector:
    """L2 on the contributions of all neurons, standardised."""
    return detect_by("L2 on all neurons", lambda a: a.contributions, train, dev)


def hidden_state(train: Answers, dev: Answers) -> LogisticDetector:
    """A dense probe on the mean residual stream after one layer; the layer is the one of highest AUROC on `dev`.

    Raises:
        ProbeError: hidden states were not recorded.
    """
    if train.hidden is None:
        raise ProbeError(f"{train.name}: hidden states were not recorded, and the dense probe needs them")
    best: LogisticDetector | None = None
    for layer in range(train.hidden.shape[1]):
        found = detect_by("hidden state, best layer", _HiddenLayer(layer), train, dev, detail=f"layer {layer}")
        if best is None or found.model.heldout_auroc > best.model.heldout_auroc:
            best = found
    assert best is not None
    return best


@dataclass(frozen=True)
class _HiddenLayer:
    layer: int

    def __call__(self, answers: Answers) -> Float[np.ndarray, "rows hidden"]:
        if answers.hidden is None:
            raise ProbeError(f"{answers.name}: hidden states were not recorded, and the dense probe needs them")
        return answers.hidden[:, self.layer]


@dataclass(frozen=True)
class TextDetector:
    """Logistic regression on character n-grams of the question: what the question's wording and names give away."""

    name: str
    vectorizer: TfidfVectorizer
    model: LogisticRegression
    threshold: float = 0.5

    def scores(self, answers: Answers) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""
        p: Float64[np.ndarray, " rows"] = self.model.predict_proba(self.vectorizer.transform(_texts(answers)))[:, 1]
        return p


def question_text(train: Answers, dev: Answers, Cs: Sequence[float] = (0.1, 1.0, 10.0, 100.0)) -> TextDetector:
    """TF-IDF of character 1- to 4-grams within words, L2 logistic regression, C by accuracy (then AUROC) on `dev`."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2, sublinear_tf=True)
    X = vectorizer.fit_transform(_texts(train))
    X_dev, y_dev, ones = vectorizer.transform(_texts(dev)), dev.hallucinated, np.ones((1, len(dev)))
    best: tuple[tuple[float, float], LogisticRegression] | None = None
    for C in Cs:
        model = LogisticRegression(C=C, max_iter=1000).fit(X, train.hallucinated)
        p = model.predict_proba(X_dev)[:, 1]
        reached = (float(metrics.accuracy(y_dev, p, ones)[0]), float(metrics.auroc(y_dev, p, ones)[0]))
        if best is None or reached > best[0]:
            best = (reached, model)
    if best is None:
        raise ProbeError("no value of C to fit with; pass at least one")
    threshold = best_threshold(y_dev, best[1].predict_proba(X_dev)[:, 1])
    return TextDetector("question text", vectorizer, best[1], threshold)


def _texts(answers: Answers) -> tuple[str, ...]:
    if answers.questions is None:
        raise ProbeError(f"{answers.name}: question texts were not given, and the text baseline needs them")
    return answers.questions


def baselines(train: Answers, dev: Answers) -> list[Detector]:
    """Every baseline whose data were recorded, fitted on `train`, hyperparameters and thresholds from `dev`."""
    found: list[Detector] = []
    if train.n_answer is not None and train.n_response is not None:
        found.append(length_only(train, dev))
    if train.log_prob is not None:
        found.append(log_probability(train, dev))
    if train.entropy is not None:
        found.append(entropy(train, dev))
    if train.questions is not None:
        found.append(question_text(train, dev))
    if train.hidden is not None:
        found.append(hidden_state(train, dev))
    found.append(all_neurons(train, dev))
    return found


class Addition(BaseModel):
    """What the probe adds to entropy on one set: AUROCs, and joint minus entropy alone with a paired interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eval_set: str
    entropy: Estimate
    probe: Estimate
    joint: Estimate
    difference: Estimate


def adds_to_entropy(
    probe: Detector, dev: Answers, sets: Sequence[Answers], *, resamples: int = 2000, seed: int = 0
) -> list[Addition]:
    """Logistic models of entropy alone and of entropy with the probe's logit, compared on every set.

    Both are fitted on `dev`, not on the training rows: there the probe has seen the labels, its scores are better than
    they ever are on new questions, and a joint model would trust them too much.
    """

    def features(answers: Answers) -> Float[np.ndarray, "rows 2"]:
        z = logit(np.clip(probe.scores(answers), 1e-12, 1 - 1e-12))
        return np.column_stack([answers.read("entropy")[:, 0], z])

    X, y = features(dev), dev.hallucinated
    joint = fit_logistic(X, y, X, y, Cs=(1.0,))
    alone = fit_logistic(X[:, :1], y, X[:, :1], y, Cs=(1.0,))
    found = []
    for answers in sets:
        bootstrap = Bootstrap(answers.groups, resamples=resamples, seed=seed)
        X, y, why = features(answers), answers.hallucinated, single_class(answers.hallucinated)
        p, q = joint.probabilities(X), alone.probabilities(X[:, :1])
        found.append(
            Addition(
                eval_set=answers.name,
                entropy=bootstrap.estimate(metrics.auroc, y, q, why),
                probe=bootstrap.estimate(metrics.auroc, y, probe.scores(answers), why),
                joint=bootstrap.estimate(metrics.auroc, y, p, why),
                difference=bootstrap.difference(metrics.auroc, y, p, q, why),
            )
        )
    return found
