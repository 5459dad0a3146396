"""Which part causes it: patching, attribution, ablation, mediation."""
