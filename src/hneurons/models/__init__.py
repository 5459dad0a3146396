"""A loaded language model, and where its neurons are."""

from hneurons.models.quiet import be_quiet

be_quiet()
