"""A run asked layer by layer: a file for each part, and the one that runs them."""
