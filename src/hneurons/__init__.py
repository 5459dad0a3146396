"""Find, watch, turn and trace the neurons that make a language model hallucinate."""
