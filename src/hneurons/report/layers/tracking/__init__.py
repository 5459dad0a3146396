"""At which layer an answer is decided: lenses, the layer of decision, drift under misleading prompts."""
