"""Imported first by processes that tests start, so that Feast comes in a third of the time, without checks of types."""

from transformations.cli.quick_feast import quicken_feast

quicken_feast()
