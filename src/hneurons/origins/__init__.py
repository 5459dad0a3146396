"""Where H-Neurons come from: transfer between a base model and its tuned version, drift of weights, growth in training.

H-Neurons, arXiv 2512.01797, section 6.
"""
