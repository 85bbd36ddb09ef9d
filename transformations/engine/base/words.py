"""How messages count: `1 row`, `1,204 rows`."""


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A count with its noun: `plural(1, "stored row")` is `1 stored row`, `plural(1204, "row")` is `1,204 rows`.

    many: the plural where it is not the noun with an s, as in `plural(2, "entity", "entities")`.
    """
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"
