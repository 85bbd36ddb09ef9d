"""XGBoost's prediction in place, called as its Python package calls it, but prepared: what a request of one row needs.

Of the 150 microseconds that `Booster.inplace_predict` takes for a row, the trees take fifteen; the rest writes the same
JSON again, looks whether the rows are of Spark's, Polars' or a graphics card's kind, and makes the frame that the
library reads them through. The function of the library, its arguments and so its bits are the same
(`XGBoosterPredictFromDense` of its C API; xgboost/core.py, `inplace_predict`).
"""

from __future__ import annotations

import ctypes
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from transformations.models.trainers.interface import Floats, Matrix, Scorer

if TYPE_CHECKING:
    import xgboost

_MARGIN = 1
_FLOAT32 = np.dtype(np.float32)


def dense_margins(booster: xgboost.Booster) -> Scorer:
    """The scorer of a booster: margins of rows that are side by side; NaN is missing. Safe for threads.

    Where a release of XGBoost has other names inside than this knows, its public method is called.
    """
    from xgboost import core

    library, make_frame = getattr(core, "_LIB", None), getattr(core, "_ProxyDMatrix", None)
    call = getattr(library, "XGBoosterPredictFromDense", None)
    if call is None or make_frame is None or not isinstance(getattr(booster, "handle", None), ctypes.c_void_p):
        return lambda matrix: _public(booster, matrix)
    arguments = {
        "type": _MARGIN,
        "training": False,
        "iteration_begin": 0,
        "iteration_end": 0,
        "missing": float("nan"),
        "strict_shape": False,
        "cache_id": 0,
    }
    config, width, own = json.dumps(arguments).encode(), booster.num_features(), threading.local()

    def score(matrix: Matrix) -> Floats:
        if matrix.dtype != _FLOAT32 or matrix.ndim != 2 or matrix.shape[1] != width or not matrix.flags.c_contiguous:
            return _public(booster, matrix)
        try:
            call_of = own.call
        except AttributeError:
            call_of = own.call = _Call(make_frame())
        rows = len(matrix)
        place = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (matrix.ctypes.data, rows, width)
        failed = call(booster.handle, place, config, call_of.frame.handle, *call_of.answers)
        if failed or call_of.dimensions.value != 1 or call_of.shape[0] != rows:
            return _public(booster, matrix)  # which says what is wrong
        # The library's own memory, which the next call of this thread writes over: converting copies it.
        return np.ctypeslib.as_array(call_of.margins, shape=(rows,)).astype(np.float64)

    return score


class _Call:
    """What one thread's calls answer into. frame: through which the library reads rows."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.shape = ctypes.POINTER(ctypes.c_uint64)()
        self.dimensions = ctypes.c_uint64()
        self.margins = ctypes.POINTER(ctypes.c_float)()
        self.answers = tuple(map(ctypes.byref, (self.shape, self.dimensions, self.margins)))


def _public(booster: xgboost.Booster, matrix: Matrix) -> Floats:
    raw = booster.inplace_predict(matrix, predict_type="margin", missing=np.nan, validate_features=False)
    return np.asarray(raw, dtype=np.float64)
