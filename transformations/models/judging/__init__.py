"""Judging a trained version: from its artifact and a dataset's splits to an evaluation, its gates and their report."""
