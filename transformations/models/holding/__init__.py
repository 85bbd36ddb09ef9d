"""Which definitions of features models hold: what they learned from, kept as it is while they may answer."""
