"""The end of the demo: what was built, how long it took, where it lies, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from transformations.cli.demo.faults import FROZEN
from transformations.cli.demo.lookup import SERVICE
from transformations.cli.demo.models import MODELS, stage_of
from transformations.cli.demo.replayed import MODEL, Replayed, folder_of, read_replayed
from transformations.cli.demo.training import dataset_path
from transformations.contracts import read_contract
from transformations.engine.base.settings import Settings
from transformations.engine.base.words import human_bytes, human_count, human_duration, plural
from transformations.engine.raw.zone import RawTable

if TYPE_CHECKING:
    from pathlib import Path

    from transformations.cli.demo.state import DemoState
    from transformations.cli.steps import Finished


_ASK = (
    "curl -s http://127.0.0.1:8080/v1/models/household_lapse_2017/predictions "
    """-H 'Content-Type: application/json' -d '{"rows": [{"household_id": 1}]}'"""
)


def rows_of_steps(done: Sequence[Finished], state: DemoState, settings: Settings) -> Iterator[tuple[object, ...]]:
    """A table row per step: title, what exists now, rows, time."""
    offline = [view.offline for view in state.views.values() if view.offline]
    online = [view.online for view in state.views.values() if view.online]
    outcome: dict[str, tuple[str, int | None]] = {
        "build": ("offline tables", sum(each.rows for each in offline)),
        "apply": (plural(len(state.views), "view"), None),
        "materialize": ("rows online", sum(each.rows for each in online)),
        "training-frame": ("training rows", _dataset_rows(settings)),
        "lookup": ("equal to training", None),
        "replay": _outcome_of_replay(read_replayed(settings)),
    }
    for finished in done:
        words = finished.step.arguments
        now: tuple[str, int | None]
        if words[0] == "ingest":
            contract = read_contract(words[1], settings.contracts)
            now = ("raw rows", RawTable(contract, settings.raw_dir).snapshot().rows)
        elif "release" in words:
            now = (stage_of(words[-1], settings), None)
        else:
            now = next(found for word, found in outcome.items() if word in words)
        yield finished.step.title, *now, "there already" if finished.is_skipped else human_duration(finished.seconds)


def places(settings: Settings) -> Iterator[tuple[object, ...]]:
    """Where everything lies, with its size."""
    folders = {
        "raw zone": settings.raw_dir,
        "offline tables": settings.offline_dir,
        "training frame": dataset_path(settings),
        "datasets": settings.datasets_dir,
        "models": settings.models_dir,
        "MLflow": settings.mlflow_dir,
        "registry": settings.registry_path,
        "Redis": settings.redis_dir,
        "replay": folder_of(settings),
    }
    for what, path in folders.items():
        if path.exists():
            beside = path.parent.glob(f"{path.name}-*")  # SQLite's log of writes, which can hold most of a registry
            yield what, path, human_bytes(sum(map(_size, (path, *beside))))


def next_steps(feast: str, features: str, repository: str, moment: str, settings: Settings) -> list[tuple[str, str]]:
    """What to look at, as one could type or paste it: what became of the model first, what it stands on after."""
    replayed = read_replayed(settings)
    models = "\n".join(f"{features} model show {name}" for name in MODELS)
    entities = '{"household_id": [1, 2], "basket_value": [25.0, 80.0]}'
    by_http = f"""FEATURES_CLOCK={moment} {feast} -c {repository} serve -h 127.0.0.1
curl -s http://127.0.0.1:6566/get-online-features -H 'Content-Type: application/json' \\
  -d '{{"feature_service": "{SERVICE}", "entities": {entities}}}'"""
    training = f"""import pandas as pd; from feast import FeatureStore
store = FeatureStore(repo_path="{repository}"); service = store.get_feature_service("{SERVICE}")
spine = pd.DataFrame({entities})
spine["event_timestamp"] = pd.to_datetime(["2017-06-01", "2017-12-01"], utc=True)
store.get_historical_features(entity_df=spine, features=service).to_df()"""
    lookup = """rows = [{"household_id": 1, "basket_value": 25.0}]
store.get_online_features(features=service, entity_rows=rows).to_dict()"""
    return [
        *(_looks_at_replay(features, replayed, settings) if replayed else []),
        ("Look at owners, lineage and features in a browser", f"{feast} -c {repository} ui -h 127.0.0.1"),
        ("Serve features by HTTP, and ask for two households", by_http),
        ("A training frame in Python", training),
        ("An online lookup in Python", lookup),
        ("The models, their versions and stages", models),
        ("Everything else", f"{features} --help"),
    ]


def _looks_at_replay(features: str, replayed: Replayed, settings: Settings) -> list[tuple[str, str]]:
    typed = replayed.typed(settings)
    trace = f"{typed} {features} predictions trace {replayed.traced}"
    return [
        ("The page of the last Monday, in a browser: what drifts, what is frozen, whose it is", replayed.report),
        ("How versions came, and why one went", f"{typed} {features} model show {MODEL}"),
        ("One prediction: its version, its features, and the events behind one of them", f"{trace} --feature {FROZEN}"),
        ("What became of the predictions, beside what was promised", f"{typed} {features} outcomes {MODEL}"),
        ("Ask the model yourself", f"{typed} {features} model serve {MODEL}\n{_ASK}"),
    ]


def _outcome_of_replay(replayed: Replayed | None) -> tuple[str, int | None]:
    return ("not replayed", None) if replayed is None else ("scores, as in batch", replayed.scores)


def _dataset_rows(settings: Settings) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(dataset_path(settings)).num_rows)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def verdict(done: Sequence[Finished]) -> str:
    """This run in one line; the lookups always run, as the proof of the rest."""
    ran = [finished for finished in done if not finished.is_skipped]
    took = human_duration(sum(finished.seconds for finished in ran))
    if len(ran) == 1:
        return f"nothing to do: everything was there already, and online equals training ({took})"
    return f"{human_count(len(ran))} of {human_count(len(done))} commands ran, {took}"
