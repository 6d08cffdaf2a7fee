"""The end of a test session: what ran in each tier, its time, what was skipped and why."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

TIERS = ("unit", "contract", "integration", "e2e", "full")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each tier, and the reason of every skip."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if not isinstance(report, pytest.TestReport):
                continue
            tier = Path(report.nodeid).parts[1]
            seconds[tier] += int(1000 * report.duration)
            if outcome in ("passed", "failed", "error", "skipped"):
                counts[tier][outcome] += 1
            if outcome == "skipped" and isinstance(report.longrepr, tuple):
                reasons[tier, report.longrepr[2]] += 1
    terminalreporter.section("tiers")
    for tier in (name for name in TIERS if counts[name]):
        told = ", ".join(f"{number} {outcome}" for outcome, number in counts[tier].items())
        terminalreporter.line(f"{tier:12} {told} in {seconds[tier] / 1000:.0f} s")
    for (tier, reason), number in reasons.items():
        terminalreporter.line(f"{tier:12} {number} skipped: {reason}")
    if not reasons:
        terminalreporter.line("nothing was skipped")
