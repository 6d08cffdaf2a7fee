"""The report as Debian's Chromium shows it: quiet, whole in itself, and usable without a mouse."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_etl_spark.run_report.page import page

from tests.support import browser
from tests.support.report_facts import largest, usual

# The contrast of each text with what is behind it, as WCAG 2.2 (1.4.3) counts it.
_CONTRAST = """
(() => {
  const linear = (c) => c / 255 <= .03928 ? c / 3294.6 : ((c / 255 + .055) / 1.055) ** 2.4;
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(linear);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const clear = colour === 'rgba(0, 0, 0, 0)';
    return clear && element.parentElement ? ground(element.parentElement) : colour;
  };
  const says = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    if (![...element.childNodes].some(says)) continue;
    const style = getComputedStyle(element);
    const ink = luminance(element instanceof SVGElement ? style.fill : style.color);
    const behind = luminance(ground(element));
    const ratio = (Math.max(ink, behind) + .05) / (Math.min(ink, behind) + .05);
    if (ratio < 4.5) poor.push(element.outerHTML.slice(0, 80) + ratio.toFixed(2));
  }
  return poor;
})()
"""
_FOCUSED = """
(() => { const e = document.activeElement;
  const name = e.getAttribute('aria-label') || e.textContent;
  return [[...document.all].indexOf(e), name.trim()]; })()
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """Give the report of a run of four Pis, of which one is missing and one differs."""
    if reason := browser.unavailable():
        pytest.skip(reason)
    file = tmp_path_factory.mktemp("report") / "20260304-050500.html"
    file.write_text(page(usual("<script>document.title = 'run'</script>")))
    with browser.page(file.as_uri()) as opened:
        yield opened


def test_nothing_is_asked_for_and_nothing_complained_of(shown: browser.Page) -> None:
    requests = [url for url in shown.requests() if not url.startswith("data:")]
    assert len(requests) == 1, requests
    assert requests[0].startswith("file:")
    assert shown.complaints() == []
    assert shown.evaluate("document.title") == "air-quality, run 20260304-050500"


def test_the_keyboard_reaches_all_there_is_in_the_order_of_the_page(shown: browser.Page) -> None:
    shown.evaluate("document.activeElement.blur()")
    found: list[tuple[int, str]] = []
    while not found or found[-1][0] > max((at for at, _ in found[:-1]), default=-1):
        shown.press_tab()
        at, name = shown.evaluate(_FOCUSED)
        found.append((at, name))
    places = [name for _, name in found[:-1]]
    assert places[:6] == [
        "Skip to the report",
        "1 Pi did not deliver",
        "1 Pi kept out of the table",
        "1 Pi with unreadable files",
        "Pis",
        "Rejected rows",
    ]
    assert "pm10 as numbers, by day" in places
    assert places[-1] == "Pis whose files differ"


def test_a_screen_reader_is_told_what_each_chart_shows(shown: browser.Page) -> None:
    nodes = shown.ask("Accessibility.getFullAXTree")["nodes"]
    told = {
        (node["role"]["value"], node.get("name", {}).get("value"))
        for node in nodes
        if "role" in node and not node["ignored"]
    }
    images = [name for role, name in told if role in ("img", "image") and name]
    assert sorted(images) == [
        "pm10, sensor_id 5331: mean 19.74, from 13 to 30.98; 61 of 72 windows, longest gap 11 h",
        "pm10, sensor_id 8554: mean 35.12, from 28 to 45.98; 72 of 72 windows",
    ]
    assert {("heading", "Rejected rows"), ("region", "Timeline")} <= told
    assert ("rowheader", "pi-1") in told


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(shown: browser.Page, dark: bool) -> None:
    shown.appear(dark=dark)
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)"
    )
    assert shown.evaluate(_CONTRAST) == []


@pytest.mark.parametrize("width", [320, 768, 1600])
def test_no_width_makes_the_page_scroll_to_the_side(shown: browser.Page, width: int) -> None:
    shown.appear(width=width)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints_in_the_colours_of_paper(shown: browser.Page, tmp_path: Path) -> None:
    shown.appear(dark=True, media="print")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    printed = shown.print(tmp_path / "report.pdf").read_bytes()
    assert 1 <= printed.count(b"/Type /Page\n") <= 4


def test_the_largest_report_is_shown_whole(tmp_path: Path) -> None:
    if reason := browser.unavailable():
        pytest.skip(reason)
    file = tmp_path / "report.html"
    file.write_text(page(largest()))
    with browser.page(file.as_uri()) as opened:
        opened.appear(width=375)
        assert opened.complaints() == []
        assert opened.evaluate("document.documentElement.scrollWidth") <= 375
        assert opened.evaluate("document.querySelectorAll('svg.chart').length") == 24
