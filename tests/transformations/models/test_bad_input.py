"""What a dataset or a declaration can hold that nothing can be learned from or judged on: one clear message each."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.returns import TEST, TRAIN, VALIDATION, write_dataset, write_declaration
from transformations.engine.base.errors import DataError, FeaturesError, UsageError
from transformations.engine.base.settings import Settings
from transformations.models.evaluation.looks import looks
from transformations.models.log.event_log import EventLog
from transformations.models.training import Trained, train
from transformations.models.versions import Judged, evaluate

MODEL = "user_return"
LOG = "shop"
GATE = {"metric": "roc_auc", "at_least": 0.5, "entities": 10, "positives": 10}
BUSINESS = {
    "name": "visits",
    "query": "SELECT count(*) FROM raw.visits",
    "owner": "team@example.com",
    "unit": "visits",
    "direction": "up",
    "horizon": "7 days",
}
Fault = Callable[[pa.Table], pa.Table]


def with_column(name: str, values: Callable[[pa.Table], Any]) -> Fault:
    def change(table: pa.Table) -> pa.Table:
        kind = table[name].type
        return table.set_column(table.column_names.index(name), name, pa.array(values(table), kind))

    return change


ALL_TRUE = with_column("returns", lambda table: [True] * len(table))
EMPTY: Fault = lambda table: table.slice(0, 0)  # noqa: E731
ONE_INFINITE = with_column("days_since", lambda table: [np.inf, *table["days_since"].to_pylist()[1:]])
NO_DAYS = with_column("days_since", lambda table: [None] * len(table))
NO_COUNTRY = with_column("country", lambda table: [None] * len(table))
UNSEEN = with_column("country", lambda table: ["at"] * len(table))


def rewrite(settings: Settings, **faults: Fault) -> None:
    """The dataset anew, with a fault in some of its splits."""
    whole = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    shutil.rmtree(settings.datasets_dir)
    write_dataset(settings.datasets_dir, **{name: faults.get(name, _same)(table) for name, table in whole.items()})


def _same(table: pa.Table) -> pa.Table:
    return table


def declare(repository: Path, **changes: Any) -> None:
    write_declaration(repository, **{"evaluation": {"entity": "user_id", "draws": 100, "gates": [GATE]}, **changes})


def trained(repository: Path, settings: Settings) -> Trained:
    return train(MODEL, repository, EventLog(LOG), settings)


def judged(repository: Path, settings: Settings) -> Judged:
    return evaluate(MODEL, None, repository, EventLog(LOG), settings)


@pytest.mark.parametrize(
    ("faults", "changes", "said"),
    [
        ({"train": ALL_TRUE}, {}, "split train: the label is true in all 400 rows, so there is nothing to tell apart"),
        ({"validation": ALL_TRUE}, {"calibration": "sigmoid"}, "split validation, later half: the label is true in al"),
        ({"train": EMPTY}, {}, "split train of dataset returns_2020 has no rows. Move the split's date."),
        ({"validation": EMPTY}, {}, "split validation of dataset returns_2020 has no rows. Move the split's date."),
        ({"train": NO_COUNTRY}, {}, "country is null in every row of the train split, so it has no categories. Leave "),
        ({"train": ONE_INFINITE}, {}, "split train of dataset ret.*: column 'days_since': row 0: inf is infinite"),
        ({"validation": ONE_INFINITE}, {}, "split validation of .*: column 'days_since': row 0: inf is infinite"),
    ],
)  # fmt: skip
def test_nothing_is_learned_from_it(
    repository: Path, settings: Settings, faults: dict[str, Fault], changes: dict[str, Any], said: str
) -> None:
    declare(repository, **changes)
    rewrite(settings, **faults)
    _refused(DataError, said, lambda: trained(repository, settings))
    assert EventLog(LOG).models() == []
    assert [each for each in (settings.models_dir / MODEL).glob("*") if each.name[0] != "."] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"leave_out": ["visit"]}, "user_return.yaml: leave_out: the dataset has no feature 'visit'; did you mean"),
        ({"request_fields": ["price"]}, "request_fields: the dataset's spine has no column 'price'"),
        ({"request_fields": ["returns"]}, "request_fields: 'returns' is the label"),
        ({"transformations": {}}, "country: a text needs a transformation: one_hot, category or target_encoding"),
        ({"sample_weight": "weight"}, "sample_weight: the dataset has no column 'weight'"),
        ({"business": [BUSINESS]}, "business metric 'visits' may read predictions only, and names raw.visits"),
        ({"evaluation": {"entity": "user"}}, "evaluation.entity: the dataset has no column 'user'; did you mean"),
    ],
)  # fmt: skip
def test_a_dataset_of_another_service_than_the_declaration_means_is_refused(
    repository: Path, settings: Settings, changes: dict[str, Any], said: str
) -> None:
    declare(repository, **changes)
    _refused(UsageError, said, lambda: trained(repository, settings))
    assert EventLog(LOG).models() == []


def _refused(kind: type[FeaturesError], said: str, act: Callable[[], object]) -> None:
    """Refused by one sentence or two, and no more lines."""
    with pytest.raises(kind, match=said) as raised:
        act()
    assert "\n" not in raised.value.message


def test_a_feature_that_is_null_throughout_is_warned_of(repository: Path, settings: Settings) -> None:
    declare(repository)
    rewrite(settings, train=NO_DAYS)
    warnings = trained(repository, settings).warnings
    assert warnings == ("days_since is null in every row of the train split, so it tells nothing. Leave it out.",)


def test_a_category_that_training_never_saw_is_judged_as_a_missing_one(repository: Path, settings: Settings) -> None:
    declare(repository)
    rewrite(settings, test=UNSEEN)
    trained(repository, settings)
    unseen = judged(repository, settings).judgement.evaluation.predictors
    assert {figure.metric for figure in unseen[0].figures if figure.value is not None} >= {"roc_auc", "log_loss"}


def test_a_test_split_of_one_class_is_refused_and_costs_no_look(repository: Path, settings: Settings) -> None:
    declare(repository)
    rewrite(settings, test=ALL_TRUE)
    trained(repository, settings)
    said = "split test: the label is true in all [0-9,]+ rows, so nothing can be judged on it. No look"
    _refused(DataError, said, lambda: judged(repository, settings))
    assert looks(settings.models_dir) == ()


def test_an_infinite_value_in_the_test_split_is_refused_before_anybody_looks(
    repository: Path, settings: Settings
) -> None:
    declare(repository)
    rewrite(settings, test=ONE_INFINITE)
    trained(repository, settings)
    _refused(
        DataError, "split test of .*: column 'days_since': row 0: inf is infinite", lambda: judged(repository, settings)
    )
    assert len(EventLog(LOG).events(MODEL)) == 1
    assert not (settings.models_dir / "looks.jsonl").exists()


def test_an_empty_test_split_is_refused(repository: Path, settings: Settings) -> None:
    declare(repository)
    rewrite(settings, test=EMPTY)
    trained(repository, settings)
    _refused(DataError, "split test of dataset returns_2020 has no rows", lambda: judged(repository, settings))
