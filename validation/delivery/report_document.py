"""What was found of a delivery, as plain values that JSON can write."""

from __future__ import annotations

from validation.delivery.checks import Report, Violation
from validation.quality.stored import document_of


def document_of_report(report: Report) -> dict[str, object]:
    """Counts, broken checks with their first rows, the quality rules' verdicts, and the rows set aside by rule."""
    return {
        "rows": report.rows,
        "violations": [_document_of_violation(each) for each in report.violations],
        "refusal": report.refusal or None,
        "rules": document_of(report.quality)["rules"] if report.quality else [],
        "set_aside": dict(report.aside.by_rule) if report.aside else {},
        "notes": list(report.notes),
    }


def _document_of_violation(violation: Violation) -> dict[str, object]:
    return {
        "rule": violation.spec.rule,
        "name": violation.spec.name or None,
        "columns": list(violation.spec.columns),
        "count": violation.count,
        "examples": [vars(example) for example in violation.examples],
        "message": violation.message,
    }
