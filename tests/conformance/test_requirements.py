"""No requirement without a case or a reason; the table that is rendered from them is up to date."""

from pathlib import Path

from tests.conformance.cases.all import CASES
from tests.conformance.requirements import REQUIREMENTS, Requirement

TABLE = Path(__file__).parent / "REQUIREMENTS.md"
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"}


def cases_of(requirement: Requirement) -> list[str]:
    """The ids of its cases, patterns resolved."""
    ids = [case.id for case in CASES]
    found: list[str] = []
    for name in requirement.cases:
        head, star, tail = name.partition("*")
        matching = [id_ for id_ in ids if (id_.startswith(head) and id_.endswith(tail) if star else id_ == name)]
        assert matching, f"{requirement.section}: no case {name}"
        found += matching
    return found


def rendered() -> str:
    """The table, one line a requirement."""
    lines = [
        "# What caches are asked, and where it is shown",
        "",
        "Rendered from `requirements.py`; the cases are in `cases/`.",
        "",
    ]
    lines += ["| section | level | a cache is to | shown by |", "|---|---|---|---|"]
    for entry in REQUIREMENTS:
        names = list(dict.fromkeys(cases_of(entry)))
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        shown = ", ".join(names[:6]) + more if names else f"no case: {entry.reason}"
        lines.append(f"| RFC {entry.section.replace('-', ' section ')} | {entry.level} | {entry.says} | {shown} |")
    return "\n".join(lines) + "\n"


def test_each_requirement_has_a_case_or_a_reason() -> None:
    for entry in REQUIREMENTS:
        assert bool(entry.cases) != bool(entry.reason), entry
        assert entry.level in LEVELS
        assert not entry.cases or cases_of(entry)


def test_the_table_is_what_the_requirements_render() -> None:
    assert TABLE.read_text() == rendered()
