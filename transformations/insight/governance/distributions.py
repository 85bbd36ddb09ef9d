"""The rule of distributions: every stored feature documents what its values look like, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

from transformations.engine.base.errors import UsageError
from transformations.engine.base.settings import Settings
from transformations.engine.expected.files import read_expected
from transformations.engine.expected.model import ExpectedView
from transformations.engine.expected.unfit import unfit_rules, unknown_features
from transformations.engine.vocabulary.resolution import Resolved
from transformations.insight.governance.unread import unread_problems
from transformations.insight.repository import Repository
from validation.feature_rules import Problem


def distribution_problems(repository: Repository, settings: Settings) -> Iterator[Problem]:
    """Views and features without an expected distribution, and rules that are of no feature, or cannot be judged."""
    for name, offered in repository.views.items():
        try:
            expected = read_expected(name, settings.expectations)
        except UsageError as error:
            yield from unread_problems(f"expectations {name}", str(error))
        else:
            yield from _problems_of_view(offered.resolved, expected)
    stray = {path.stem for path in settings.expectations.glob("*.yaml")} - set(repository.views)
    for name in sorted(stray):
        yield Problem(f"expectations {name}", "are of no view that is offered", "Remove the file")


def _problems_of_view(resolved: Resolved, expected: ExpectedView | None) -> Iterator[Problem]:
    name = resolved.name
    remedy = f"Once it is built, run `features expect {name}`"
    if expected is None:
        yield Problem(f"view {name}", "documents no expected distributions", remedy)
        return
    for feature in resolved.features:
        if feature.name not in expected.features:
            yield Problem(f"feature {name}:{feature.name}", "has no expected distribution", remedy)
    for unknown, near in unknown_features(resolved, expected).items():
        fault = f"is of no feature that {name} has; {near}"
        yield Problem(f"expected distribution {name}:{unknown}", fault, "Rename or remove it")
    for unfit in unfit_rules(resolved, expected):
        fault = f"has a rule {unfit.rule} that cannot be judged: {unfit.why}"
        yield Problem(f"expected distribution {name}:{unfit.feature}", fault, "Remove the rule")
