"""The whole check of a dataset: every finding with its limit, and which of them stop a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from transformations.contracts import contract_names, read_contract
from transformations.datasets.config import ChecksConfig
from transformations.datasets.create import SPLIT, verify
from transformations.datasets.manifest import Manifest
from transformations.datasets.registration import join_keys
from transformations.engine.base.errors import DataError, UsageError
from transformations.models.checking.leaks import suspects
from transformations.models.checking.noise import label_noise
from transformations.models.checking.rows import Labelled, repeated
from transformations.models.checking.sequences import impossible_rows
from transformations.models.checking.undated import undated_sources
from transformations.models.declaration.resolution import feature_types


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. value, limit: shares of rows, where the check has them; breaches: stops a training."""

    check: str
    value: float | None
    limit: float | None
    text: str
    breaches: bool = False
    warns: bool = False


def check_stored(manifest: Manifest, folder: Path, contracts: Path) -> tuple[Finding, ...]:
    """Check the files of a dataset: first that they hold what the manifest says, then their rows."""
    splits: dict[str, pa.Table] = {}
    verify(manifest, folder, keep=splits.__setitem__)
    return check_dataset(manifest, splits, contracts)


def check_dataset(
    manifest: Manifest, splits: Mapping[str, pa.Table], contracts: Path, beside: Sequence[str] | None = None
) -> tuple[Finding, ...]:
    """Check a dataset's rows. splits: their tables by name, verified; labels and leaks are looked for in `train`.

    contracts: the folder of the contracts, by which sources without an event time are known. beside: the columns of the
    spine that a model takes; by default all that it could take.
    UsageError for a dataset without a label or a train split.
    """
    label = manifest.config.label
    if label is None or "train" not in splits:
        raise UsageError(f"dataset {manifest.name} has no label or no train split: there is nothing to check.")

    features = tuple(feature_types(manifest))
    apart = (*join_keys(manifest), manifest.timestamp, label.column, SPLIT)

    def labelled(table: pa.Table) -> Labelled:
        return Labelled(
            table=table,
            keys=tuple(join_keys(manifest)),
            timestamp=manifest.timestamp,
            label=label.column,
            features=features,
            horizon=label.horizon,
            beside=tuple(name for name in table.column_names if name not in (*features, *apart))
            if beside is None
            else tuple(beside),
        )

    whole = pa.concat_tables(splits.values(), promote_options="permissive")
    found = findings(labelled(whole), labelled(splits["train"]), manifest.config.checks, manifest.config.seed)
    known = {name: read_contract(name, contracts) for name in contract_names(contracts)}
    undated = undated_sources(manifest.config, known)
    return (*found, *(Finding(check="leak", value=None, limit=None, text=each, warns=True) for each in undated))


def findings(whole: Labelled, train: Labelled, limits: ChecksConfig, seed: int = 0) -> tuple[Finding, ...]:
    """Every check of all rows, and of the train split's."""
    again = repeated(whole)
    noise = label_noise(train, seed)
    found = [
        _share("duplicates", again.duplicates, limits.duplicates, "of the rows stand there again"),
        _share(
            "contradictions", again.contradictions, limits.contradictions, "of the rows equal one with another label"
        ),
    ]
    if noise.share is None:
        found.append(
            Finding(check="label noise", value=None, limit=limits.label_noise, text=f"not told: {noise.reason}")
        )
    else:
        text = "of the labels contradict an out-of-fold model where it is surest"
        found.append(_share("label noise", noise.share, limits.label_noise, text))
    if limits.impossible:
        sequences = impossible_rows(whole, limits.impossible)
        example = f" ({sequences.example})" if sequences.example else ""
        text = f"of the rows are impossible{example}"
        found.append(_share("impossible sequences", sequences.share, limits.sequences, text))
    found += [
        Finding(check="leak", value=each.area, limit=None, text=each.message, warns=True)
        for each in suspects(train, seed)
    ]
    return tuple(found)


def refuse_breaches(name: str, found: Sequence[Finding]) -> None:
    """DataError where a finding passes its limit."""
    breaches = [each for each in found if each.breaches]
    if breaches:
        listed = "; ".join(f"{each.check}: {each.text}" for each in breaches)
        raise DataError(
            f"dataset {name} is not fit to learn from: {listed}. Mend the spine's query or the source; where it must "
            f"be so, raise the limit under `checks` in the dataset's YAML."
        )


def _share(check: str, value: float, limit: float, text: str) -> Finding:
    return Finding(
        check=check,
        value=value,
        limit=limit,
        text=f"{value:.2%} {text}, allowed {limit:.2%}",
        breaches=value > limit,
    )
