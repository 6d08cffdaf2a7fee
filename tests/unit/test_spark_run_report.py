"""The page of a run: what it says, that it trusts no text, and that it stays small."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from edge_etl_spark.run_report import chart
from edge_etl_spark.run_report.facts import Outcome, Point, RunFacts
from edge_etl_spark.run_report.page import page
from edge_etl_spark.run_report.wording import duration, share, size, value
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import report_facts
from tests.support.report_facts import BEGAN, HOUR, largest, points, usual

VOID = {"meta", "link", "path", "rect", "br"}
ELEMENTS = {
    *("html", "head", "meta", "link", "title", "style", "body", "a", "header", "p", "h1", "h2"),
    *("h3", "strong", "ul", "li", "nav", "main", "dl", "div", "dt", "dd", "small", "section"),
    *("span", "svg", "rect", "table", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("pre", "path", "text", "figure", "figcaption", "details", "summary", "code", "footer"),
}


class Parsed(HTMLParser):
    """A page as a browser takes it: its elements, attributes and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def test_the_page_says_who_delivered_what_was_rejected_and_what_differs() -> None:
    told = Parsed(page(usual())).text
    for sentence in (
        "version 7: 9,740 rows added",
        "Pis that delivered3 of 4",
        "1 Pi did not deliver",
        "1 Pi kept out of the table",
        "NodeNotReady: Node pi-4 is not ready",
        "out_of_range: 240 rows",
        "80.0% of all that were rejected, on 3 Pis",
        "pi-1, day.csv, line 17: pm10: 1999.9 is above 999.8",
        "5331;2026-03-04T04:00:00;1999.9;12.1",
        "new/log.csv",
        "only it has dust10",
        "merging the rows",
        "61 of 72 windows, longest gap 11 h",
        "saved",
        "88.3%",
    ):
        assert sentence in told, (sentence, told)


def test_a_failed_run_without_anything_has_a_page_too() -> None:
    empty = RunFacts(
        namespace="garden",
        job="air-quality",
        run="20260304-050500",
        began=BEGAN,
        ended=BEGAN,
        outcome=Outcome(succeeded=False, reason="ManifestMissing", message="mount the volume"),
        nodes=(),
        fields=(),
    )
    told = Parsed(page(empty))
    assert "ManifestMissing: mount the volume" in told.text
    assert "No row was rejected." in told.text
    assert ("p", {"class": "verdict wrong"}) in told.found


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.sampled_from(
            (
                "<script>alert(1)</script>",
                '"><img src=x onerror=alert(1)>',
                "</pre></style></title><svg onload=alert(1)>",
                "{{ 7 * 7 }}{% include '/etc/passwd' %}",
                "javascript:alert(1)",
            )
        ),
    )
)
def test_no_text_of_a_file_or_a_node_becomes_markup(text: str) -> None:
    run = usual(text)
    hostile = replace(
        run,
        job=text,
        outcome=replace(run.outcome, message=text),
        nodes=(report_facts.node(text, note=text, drift=text, columns_seen=(text,)), *run.nodes),
        examples=(replace(run.examples[0], node=text, file=text, detail=text), *run.examples),
        fields=(text,),
    )
    parsed = Parsed(page(hostile))
    assert {tag for tag, _ in parsed.found} <= ELEMENTS
    names = {name for _, attributes in parsed.found for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src")]
    targets = {value for _, attributes in parsed.found if (value := attributes.get("href"))}
    assert all(target.startswith("#") or target == "data:," for target in targets)
    assert parsed.open == []


def test_the_largest_page_is_below_a_megabyte_and_says_what_it_leaves_out() -> None:
    html = page(largest())
    assert len(html.encode()) < 1_000_000
    told = Parsed(html).text
    for left_out in (
        "2,900 more Pis are not listed",
        "34 more reasons are not listed",
        "8,980 more files are not listed",
        "2,980 more Pis are not listed",
        "2,976 were faster",
        "24 of 100,000 groups are shown",
    ):
        assert left_out in told, left_out


def test_the_style_sheet_is_the_one_that_the_policy_allows_and_asks_for_nothing() -> None:
    html = page(usual())
    assert "url(" not in html
    assert "@import" not in html
    assert "http" not in html.replace("http-equiv", "")
    policy = next(a["content"] for tag, a in Parsed(html).found if "http-equiv" in a)
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_a_line_breaks_at_each_gap_and_a_lonely_window_is_a_dot() -> None:
    of_day = points(24, without=range(5, 9)) + points(30)[29:]
    frame = chart.frame(of_day, of_day[0].window, of_day[0].window + 30 * HOUR, HOUR)
    drawn = chart.chart(of_day, frame)
    assert drawn.line.count("M") == 3
    assert drawn.line.endswith("h0")
    assert drawn.gaps.count("M") == 2
    assert list(chart.gaps(of_day, frame)) == [
        (of_day[0].window + 5 * HOUR, of_day[0].window + 9 * HOUR),
        (of_day[0].window + 24 * HOUR, of_day[0].window + 29 * HOUR),
    ]


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20),
    st.integers(1, 400),
)
def test_every_point_lies_in_its_frame(values: list[float], hours: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    shown = [
        Point(start + number * hours * HOUR, 1, value, value, value)
        for number, value in enumerate(values)
    ]
    frame = chart.frame(shown, start, shown[-1].window + HOUR, timedelta(hours=1))
    drawn = chart.chart(shown, frame)
    for point in shown:
        assert chart.LEFT <= frame.middle(point) <= chart.WIDTH
        assert 0 <= frame.up(point.mean) <= chart.HEIGHT
    assert 1 <= len(drawn.up) <= 5
    assert 2 <= len(drawn.across) <= 6
    assert "nan" not in drawn.line + drawn.band + drawn.gaps


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (share(1, 3), "33.3%"),
        (share(1, 100_000), "< 0.1%"),
        (share(99_999, 100_000), "> 99.9%"),
        (share(0, 0), "-"),
        (value(98_831.2), "98,830"),
        (value(0.5), "0.5"),
        (value(-12.3456), "-12.35"),
        (value(1.5e12), "1.5e+12"),
        (size(0), "0 B"),
        (size(1536), "1.5 KiB"),
        (size(5 * 1024**3), "5.0 GiB"),
        (duration(0.5), "0.5 s"),
        (duration(90), "90 s"),
        (duration(3600), "1 h"),
        (duration(7200), "2 h"),
        (duration(86_400 * 3), "3 d"),
    ],
)
def test_numbers_for_people(said: str, expected: str) -> None:
    assert said == expected
