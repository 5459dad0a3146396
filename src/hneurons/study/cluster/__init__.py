"""A run over many processes and machines: tasks handed out, workers lost and replaced, files brought together."""
