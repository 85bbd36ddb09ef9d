"""Answering an online request: its plan, the keys it reads, and the answer."""
