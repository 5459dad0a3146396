"""What the tables call the probe, the detectors that it is held against, and the controls."""

from __future__ import annotations

H_NEURONS = "H-Neurons"
REFIT = "H-Neurons, refit"
RANDOM, MATCHED = "random neurons", "random neurons, layer-matched"
PERMUTED, PERMUTED_ANSWERS = "permuted labels", "permuted labels, answers only"
"""Labels are permuted among the answers. Under scheme 3-vs-1 the probe still learns to tell answer from other tokens,
which permutation does not touch; among answers only, nothing is left to learn."""
