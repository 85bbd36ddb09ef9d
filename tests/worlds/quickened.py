"""Imported first by processes that tests start, so that Feast comes in a third of the time, without checks of types."""

from transformations.engine.launch.quickening import quicken_feast

quicken_feast()
