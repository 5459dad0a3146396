"""What helps, at what price."""
