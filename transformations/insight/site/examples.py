"""Code to copy: how a feature or a service is looked up online, and joined to the rows of a training set."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime

from feast import Field

from transformations.insight.site.pages import Example

_VALUES: Mapping[str, object] = {
    "Int64": 1,
    "Int32": 1,
    "Float64": 1.0,
    "Float32": 1.0,
    "Bool": True,
    "String": "a",
}
_NOW = "datetime.now(UTC)"


def examples(asked: Iterable[str] | str, given: Iterable[Field], moment: datetime | None) -> tuple[Example, ...]:
    """A lookup by HTTP and by Python, and a training query.

    asked: features as `view:feature`, or a service's name. given: keys and request fields. moment: when values are
    there to be joined; None where nothing is built yet.
    """
    row = {field.name: _VALUES.get(str(field.dtype)) for field in given}
    if isinstance(asked, str):
        body: dict[str, object] = {"feature_service": asked}
        features = f"store.get_feature_service({asked!r})"
    else:
        body = {"features": list(asked)}
        features = repr(body["features"])
    body["entities"] = {name: [value] for name, value in row.items()}
    spine = {name: [value] for name, value in row.items()}
    when = _NOW if moment is None else f"datetime.fromisoformat({moment.isoformat()!r})"
    columns = [*(f"    {name!r}: {value!r}," for name, value in spine.items()), f"    'event_timestamp': [{when}],"]
    imports = "from datetime import UTC, datetime" if moment is None else "from datetime import datetime"
    return (
        Example(
            "Lookup by HTTP",
            "curl -s http://127.0.0.1:6566/get-online-features -H 'Content-Type: application/json' \\\n"
            f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        ),
        Example(
            "Lookup in Python",
            "from feast import FeatureStore\n\n"
            'store = FeatureStore("feature_repo")\n'
            "store.get_online_features(\n"
            f"    features={features},\n    entity_rows=[{row!r}],\n).to_dict()",
        ),
        Example(
            "Training query",
            f"{imports}\n\nimport pandas as pd\nfrom feast import FeatureStore\n\n"
            'store = FeatureStore("feature_repo")\n'
            "spine = pd.DataFrame({\n" + "\n".join(columns) + "\n})\n"
            "store.get_historical_features(\n"
            f"    entity_df=spine,\n    features={features},\n).to_df()",
        ),
    )
