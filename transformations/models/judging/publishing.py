"""The folder of a judgement: facts, gates, page and card, put in their place at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

from transformations.datasets.folders import publish, remove_leftovers
from transformations.engine.base import storage
from transformations.engine.base.errors import DataError
from transformations.engine.base.files.published import pull
from transformations.models.evaluation.facts import Evaluation
from transformations.models.judging.candidate import Judgement
from transformations.models.records.base import text_hash
from transformations.models.records.gates import GateReport
from transformations.models.reports.card import render_card
from transformations.models.reports.page import render_page

EVALUATION, GATES, PAGE, CARD = "evaluation.json", "gates.json", "report.html", "card.md"


def write_judgement(target: Path, judgement: Judgement) -> Path:
    """Write a judgement to its folder, in place of an earlier one; the page's path. Nobody ever sees a part of it."""
    texts = {
        EVALUATION: judgement.evaluation.text(),
        PAGE: render_page(judgement.evaluation, judgement.gates),
        CARD: render_card(judgement.evaluation, judgement.gates),
    }
    if judgement.gates is not None:
        texts[GATES] = judgement.gates.text()
    storage.make_folder(target.parent)
    with storage.exclusive(target.with_name(f".{target.name}.lock"), f"the evaluation {target.name}"):
        pull(target)
        remove_leftovers(target)
        unfinished = target.with_name(f".{target.name}-{uuid4().hex}{storage.UNFINISHED}")
        unfinished.mkdir(mode=storage.FOLDER_MODE)
        try:
            for name, text in texts.items():
                storage.make_file(unfinished / name).write_text(text, encoding="utf-8")
            publish(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        remove_leftovers(target)
    return target / PAGE


def read_judgement(folder: Path) -> Judgement:
    """The judgement in a folder. DataError where it is missing or damaged, or the gates rest on other figures."""
    try:
        text = (folder / EVALUATION).read_text(encoding="utf-8")
        gates = (folder / GATES).read_text(encoding="utf-8") if (folder / GATES).exists() else None
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{folder} holds no whole evaluation. Evaluate the version anew.") from None
    evaluation = Evaluation.from_text(text, str(folder / EVALUATION))
    report = None if gates is None else GateReport.from_text(gates, str(folder / GATES))
    if report is not None and report.evidence != text_hash(text):
        raise DataError(f"{folder}: {GATES} rests on other figures than {EVALUATION} holds. Evaluate the version anew.")
    return Judgement(evaluation, report)
