"""Which of the traps T1 to T26, by which training and serving can come apart in Feast, are open in which stores.

An open trap is an expected failure, strict: whoever closes it must delete its line here, and a trap that opens again
fails. What stock Feast does changes only with the installed Feast: `make stock-traps` runs those tests, `make test`
does not. A key is a trap, or `trap: aspect` where a trap has several tests.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest

TRAPS = tuple(f"T{number}" for number in range(1, 27))
PATHS = ("sdk", "async", "http")

_Test = TypeVar("_Test", bound=Callable[..., Any])

# Open in ours until they are closed; none is. Delete a line with the change that closes it.
OURS_OPEN: Mapping[str, str] = {}

# What ours cannot close, because Feast decides before our code is reached.
OURS_DOCUMENTED: Mapping[str, str] = {
    "T6: default": "filter_by_created_timestamp is an argument of get_historical_features, False by default "
    "(feature_store.py:1988): values as corrected since",
    "T13: extra columns": "Feast adds the inputs of on-demand views to the requested references "
    "(feature_store.py:2103), so training frames have them as columns",
    "T19": "Feast drops a frame whose features are all null before any store sees it (feature_store.py:3755)",
    "T26": "another process sees an applied view when its registry cache expires: cache_ttl_seconds "
    "(repo_config.py:184), 60 in our feature_store.yaml",
}

STOCK: Mapping[str, str] = {
    "T1": "ttl is enforced in training only (utils.py:1823)",
    "T2": "a row of equal event time never replaces the stored one (redis.py:547)",
    "T3": "the row has the same event time as the stored one, so the added feature is never written (redis.py:547)",
    "T3: older schema": "a feature that the stored row lacks is null and PRESENT",
    "T4": "an incremental run starts where the last one ended, whatever arrived since (feature_store.py:2709)",
    "T5": "the first incremental run begins a year ago (feature_store.py:2717)",
    "T6: default": OURS_DOCUMENTED["T6: default"],
    "T7": "training returns what the files hold, serving what the schema declares (type_map.py:719)",
    "T8": "a stored NaN stays NaN in training and becomes null online",
    "T8: batch": "pandas mode infers dtypes from the values of one request (online_response.py:98)",
    "T9": "integers beside a null pass through float64 on their way online (utils.py:492)",
    "T10": "a function's imported code is not part of its identity (python_transformation.py:143)",
    "T11": "a singleton is given lists in training and the first row online (python_transformation.py:90)",
    "T12": "with full feature names a python-mode view vanishes online (utils.py:1031)",
    "T13": "training shows an on-demand function columns that it did not declare (offline_store.py:248)",
    "T13: extra columns": OURS_DOCUMENTED["T13: extra columns"],
    "T14": "the dtype of request fields is not enforced (utils.py:1752)",
    "T14: widening": "a whole number stays one in training, whatever is declared (T7)",
    "T15": "an entity without a row is null and PRESENT (redis.py:923)",
    "T16": "of two dtypes of one join key the last one wins for both views (utils.py:1104)",
    "T17": "key_ttl_seconds holds for the hash of all views of an entity (redis.py:491)",
    "T18": "features are found by a 32-bit hash of their name (helpers.py:42)",
    "T19": OURS_DOCUMENTED["T19"],
    "T20": "a view that is computed when written gets pandas inputs (feature_store.py:2379)",
    "T21": "END in the future writes rows of the future",
    "T22": "a row that is gone from the source stays in Redis",
    "T23": "retrieval has no ORDER BY (ibis.py:528)",
    "T24": "a view is refused while it is being materialized, and for ever after a killed run (utils.py:1482)",
    "T25": "the file registry is truncated and written in place (file.py:41)",
}


def trap(name: str, *, paths: Sequence[str] = PATHS) -> Callable[[_Test], _Test]:
    """Run a test as (world, lookup) on both kinds of stores and on these paths; as (world) where there are none.

    On stock Feast's stores the test is marked `stock`.
    """
    assert name.partition(":")[0] in TRAPS
    names = ("world", "lookup") if paths else ("world",)
    cases = [
        pytest.param(*case, id="-".join(case), marks=_marks(name, case[0]))
        for kind in ("ours", "stock")
        for case in ([(kind, path) for path in paths] or [(kind,)])
    ]
    return pytest.mark.parametrize(names, cases, indirect=True)


def _marks(name: str, kind: str) -> list[pytest.MarkDecorator]:
    is_stock = kind == "stock"
    reason = STOCK.get(name) if is_stock else OURS_OPEN.get(name) or OURS_DOCUMENTED.get(name)
    # Only a failed claim counts as the trap; any other error is a fault of the test.
    expected = [pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)] if reason else []
    return [*expected, pytest.mark.stock] if is_stock else expected
