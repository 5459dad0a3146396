"""How sure the model is, how right it is, and when it should rather say nothing."""
