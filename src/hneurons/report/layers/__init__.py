"""The report's pages on layers: a folder for each part."""
