"""The sources as `feast ui` shows them, one for each contract. Views do not read them: they read their own tables."""

from transformations.stores.views import raw_sources

globals().update(raw_sources())
