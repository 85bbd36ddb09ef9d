"""The words a feature author writes with: `from transformations import Sum, WindowedFeatures, days, …`.

They live in engine/vocabulary.py and are loaded with the first of them that is asked for, so that what needs none of
them (`features --help`, settings) starts in a fraction of the time.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformations.engine.vocabulary.exports import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        if not name.startswith("_"):
            from transformations.engine.vocabulary import exports as vocabulary

            if name in vocabulary.__all__:
                return getattr(vocabulary, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        from transformations.engine.vocabulary import exports as vocabulary

        return [*globals(), *vocabulary.__all__]
