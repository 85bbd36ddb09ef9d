"""Refuses views that transform their source's rows by a function of Feast's, which no two paths would run alike.

Feast runs it when a view is materialized, over whatever rows the run pulls, and never in training: one name would have
two meanings (compute_engines/local/feature_builder.py, offline_stores/ibis.py).
"""

from __future__ import annotations

from feast import BatchFeatureView, FeatureView

from transformations.engine.base.errors import DefinitionError


def refuse_transformed(view: FeatureView) -> None:
    """DefinitionError for a batch view with a function or aggregations of its own.

    Those of a stream view are for its stream: Feast takes what its batch source holds for transformed (inference.py).
    """
    if not isinstance(view, BatchFeatureView):
        return
    parts = {
        "a transformation": view.udf is not None or view.feature_transformation is not None,
        "aggregations": bool(view.aggregations),
    }
    if found := [part for part, is_there in parts.items() if is_there]:
        raise DefinitionError(
            f"batch feature view {view.name} has {' and '.join(found)}, which Feast runs when it loads the view and "
            f"leaves out in training. Write the transformed rows to a file or table and make that the source, compute "
            f"row by row in an on-demand view, or declare windowed features."
        )
