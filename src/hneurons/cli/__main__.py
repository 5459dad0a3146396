"""`python -m hneurons.cli`."""

from hneurons.cli import main

main()
