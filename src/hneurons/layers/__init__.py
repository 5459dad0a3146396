"""Layer by layer: how a hallucination forms inside the model, and where it can be stopped."""
