"""A small project whose model is in production and whose features are online, for the images' servers to answer from.

python tests/deploy/served.py FOLDER     makes it there, starts its Redis and prints the environment of a server
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.worlds import weekly

TRAINER = "xgboost"
"""Of the model: the one that the image of the model server has."""


def main(root: Path) -> None:
    """Make it."""
    os.environ.update(weekly.environment(root))
    sys.path.insert(0, str(root / "modules"))
    from feast import FeatureStore

    from transformations.engine.base.settings import get_settings
    from transformations.local import redis

    weekly.make(root)
    weekly.declare(root / "repo", trainer=TRAINER)
    weekly.promote(root)
    url = redis.start(get_settings())
    FeatureStore(repo_path=str(root / "repo")).materialize(weekly.MONDAY, datetime.fromisoformat(weekly.NOW))
    names = {"FEATURES_PREDICT_MODELS": weekly.MODEL, "FEATURES_REDIS_URL": url, "PYTHONPATH": str(root / "modules")}
    print(json.dumps({**weekly.environment(root), **names}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
