"""Loads of tests have the priority of everything else: an idle one would wait for the other processes of the run."""

from transformations.stores import materialization

yield_processor = materialization.yield_processor


def load_at_normal_priority() -> None:
    """From now on in this process, whatever a repository declares. `yield_processor` is what loads did before."""
    materialization.yield_processor = lambda: None
