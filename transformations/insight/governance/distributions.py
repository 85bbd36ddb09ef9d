"""The rule of distributions: every stored feature documents what its values look like, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

from transformations.engine.base.disk_faults import paths_in
from transformations.engine.base.settings import Settings
from transformations.engine.expected.files import read_expected
from transformations.insight.repository import Repository
from validation.feature_rules import Problem


def distribution_problems(repository: Repository, settings: Settings) -> Iterator[Problem]:
    """Views and features without an expected distribution, and expected distributions without a feature."""
    for name, offered in repository.views.items():
        expected = read_expected(name, settings.expectations)
        remedy = f"Once it is built, run `features expect {name}`"
        if expected is None:
            yield Problem(f"view {name}", "documents no expected distributions", remedy)
            continue
        features = [feature.name for feature in offered.resolved.features]
        for feature in features:
            if feature not in expected.features:
                yield Problem(f"feature {name}:{feature}", "has no expected distribution", remedy)
        for feature in expected.features:
            if feature not in features:
                fault = f"is of no feature that {name} has"
                yield Problem(f"expected distribution {name}:{feature}", fault, "Remove it")
    stray = {path.stem for path in paths_in(settings.expectations, "*.yaml")} - set(repository.views)
    for name in sorted(stray):
        yield Problem(f"expectations {name}", "are of no view that is offered", "Remove the file")
