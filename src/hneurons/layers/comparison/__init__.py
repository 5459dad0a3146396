"""Faithful against hallucinated answers, layer by layer: effect sizes, separability, similarity."""
