"""The report as text or JSON."""

from __future__ import annotations

import json
import textwrap

from .finding import Finding
from .private import without_private

_WIDTH = 100
PAGE = "docs/troubleshooting.md"


def report(findings: list, as_json: bool = False) -> str:
    """All findings, problems last.

    Args:
        findings: Of :func:`otcxr_mm.doctor.examine`.
        as_json: A list of objects instead, for a bug report: without the user's name and
            without paths but those of Python, of packages and of the system.
    """
    errors = sum(f.level == "error" for f in findings)
    warnings = sum(f.level == "warning" for f in findings)
    if as_json:
        keys = ("level", "code", "message", "advice", "group")
        private = tuple(sorted({value for f in findings for value in f.private}))
        rows = [
            {key: without_private(getattr(f, key), private, relative=f.group == "Config") for key in keys}
            for f in findings
        ]
        return json.dumps({"errors": errors, "warnings": warnings, "findings": rows}, indent=2, ensure_ascii=False)
    lines = []
    for group in dict.fromkeys(f.group for f in findings):
        rows = [f for f in findings if f.group == group and not f.is_problem]
        problems = [f for f in findings if f.group == group and f.is_problem]
        lines += ["", group] if group else [""]
        lines += [_row(f) for f in rows]
        lines += [f"  {f.level:<8}{f.code}" for f in problems]
    problems = [f for f in findings if f.level == "warning"] + [f for f in findings if f.level == "error"]
    for finding in problems:
        lines += ["", f"{finding.level.upper()} {finding.code}", *_wrapped(finding.message, "  ")]
        lines += _wrapped("-> " + finding.advice, "  ", "     ")
    count = f"{errors} error{'s' if errors != 1 else ''}, {warnings} warning{'s' if warnings != 1 else ''}"
    lines += ["", count + (f"; more about each in {PAGE}" if problems else "")]
    return "\n".join(lines[1:])


def _row(finding: Finding) -> str:
    advice = f": {finding.advice}" if finding.advice else ""
    return f"  {finding.level:<6}{finding.code:<13} {finding.message}{advice}"


def _wrapped(text: str, first: str, rest: str | None = None) -> list:
    # commands and paths are copied: never broken inside
    wrap = textwrap.TextWrapper(
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest or first,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrap.wrap(text)
