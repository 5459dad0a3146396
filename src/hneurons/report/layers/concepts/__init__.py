"""States in two dimensions, and directions for factuality and uncertainty."""
