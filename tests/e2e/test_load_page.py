"""Pages of load tests in a real browser: every chart drawn inside its frame, figures read out, nothing fetched."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.domain.load import SloVerdict
from harness.report import fold_capacity, fold_load, load_compare_page, load_page
from harness.report.load_compare import compare_load
from tests import requires
from tests.e2e.test_report_page import ARGS, SMUGGLED
from tests.report.load_logs import capacity_log, load_log, seconds_of

BLACK = "rgb(0, 0, 0)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = requires.browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=ARGS, headless=True)
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page, and everything it did that it should not."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def lines(self) -> list[tuple[float, bool, str]]:
        """Of each line that is drawn: its length, whether it lies within its chart, and its colour."""
        found: list[tuple[float, bool, str]] = self.page.evaluate(
            """() => [...document.querySelectorAll("svg path.line")].map((path) => {
                 const box = path.getBBox(), frame = path.ownerSVGElement.viewBox.baseVal;
                 return [path.getTotalLength(), box.x >= 0 && box.y >= 0 && box.x + box.width <= frame.width
                         && box.y + box.height <= frame.height, getComputedStyle(path).stroke];
               })"""
        )
        return found

    def cut_off(self) -> list[str]:
        """Words of charts that do not fit into them."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll("svg text")].filter((text) => {
                 const box = text.getBBox(), frame = text.ownerSVGElement.viewBox.baseVal;
                 return box.x < -1 || box.x + box.width > frame.width + 1 || box.y < -1 || box.y + box.height > frame.height + 1;
               }).map((text) => text.textContent)"""  # noqa: E501 - a line of a script
        )
        return found


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    contexts = []

    def opened(text: str, *, scheme: str = "light", width: int = 1280) -> Opened:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        seen = Opened(context.new_page())
        seen.page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(path.as_uri())
        assert seen.requests == [path.as_uri()]
        return seen

    yield opened
    for context in contexts:
        context.close()


def mixed(**started: Any) -> Any:
    seconds = seconds_of(np.random.default_rng(1), 32, 300, fail=0.01, stall=12, limit=310)
    return fold_load(load_log(seconds, targets=True, stream=True, min_grade="A+", **started))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_every_chart_of_a_load_test(open_page: Any, scheme: str, width: int) -> None:
    seen = open_page(load_page.render(mixed()), scheme=scheme, width=width)
    charts = seen.page.locator("figure.chart")
    assert charts.evaluate_all("all => all.map((each) => each.dataset.chart)") == [
        "latency", "rate", "percentiles", "histogram", "failures", "lag", "busy",
    ]  # fmt: skip
    lines = seen.lines()
    assert len(lines) == 4 + 3 + 4 + 1 + 0 + 3 + 2
    assert all(length > 50 and inside and stroke not in ("none", BLACK) for length, inside, stroke in lines)
    assert seen.page.locator("svg rect[class^=bar-kind]").count() > 30
    assert seen.page.locator("svg rect.shade").count() == 5  # the warm-up, on every chart over time
    assert seen.cut_off() == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []


def test_what_is_pointed_at_is_read_out_and_nothing_moves(open_page: Any) -> None:
    result = mixed()
    seen = open_page(load_page.render(result))
    chart = seen.page.locator("[data-chart=latency]")
    chart.scroll_into_view_if_needed()
    before = chart.bounding_box()
    box = chart.locator("svg").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 60)
    told = chart.locator(".live").inner_text()
    last = result.series[-1].figures
    assert told.startswith("31–32 s:")
    assert f"p99 {last['p99'] * 1000:.3g} ms" in " ".join(told.split())
    assert chart.locator(".live").evaluate("each => getComputedStyle(each).visibility") == "visible"
    assert chart.bounding_box() == before
    seen.page.mouse.move(5, 5)
    assert chart.locator(".live").evaluate("each => getComputedStyle(each).visibility") == "hidden"


def test_a_spoiled_test_warns_before_anything_else(open_page: Any) -> None:
    seen = open_page(load_page.render(fold_load(load_log(spoiled="the generator was late; give it a core"))))
    assert seen.page.locator("header [role=alert]").inner_text().startswith("Do not rely on these figures.")
    assert "not graded" in seen.page.locator("header").inner_text()


@pytest.mark.parametrize("cut", [1, 2, 9])
def test_a_test_that_was_cut_off_has_the_charts_of_what_was_seen(open_page: Any, cut: int) -> None:
    seen = open_page(load_page.render(fold_load(load_log()[:cut])))
    assert seen.page.locator("figure.chart").count() == {1: 0, 2: 4, 9: 4}[cut]
    assert "cut off" in seen.page.locator("header").inner_text()
    assert seen.cut_off() == []
    assert seen.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_latency_against_rate(open_page: Any, scheme: str) -> None:
    result = fold_capacity(capacity_log())
    seen = open_page(load_page.render(result), scheme=scheme)
    assert seen.page.locator("svg circle.held").count() == 6
    assert seen.page.locator("svg circle.missed").count() == 3
    assert seen.page.locator("svg circle.spoilt").count() == 1
    assert seen.page.locator("svg rect.bracket").count() == 1
    assert seen.page.locator("svg line.knee").count() == 1
    assert seen.page.locator("svg line.slo").count() == 1
    ((length, inside, _),) = seen.lines()
    assert length > 300
    assert inside
    assert seen.cut_off() == []
    assert seen.complaints == []


@pytest.mark.parametrize("cut", [1, 2, 6])
def test_a_search_that_was_cut_off(open_page: Any, cut: int) -> None:
    seen = open_page(load_page.render(fold_capacity(capacity_log()[:cut])))
    assert seen.page.locator("svg circle").count() == cut - 1
    assert seen.complaints == []


@pytest.mark.parametrize("width", [1280, 420])
def test_two_load_tests_side_by_side(open_page: Any, tmp_path: Path, width: int) -> None:
    a, b = (
        fold_load(load_log(seconds_of(np.random.default_rng(seed), 32, 300, median_ms=median)))
        for seed, median in ((1, 4.0), (2, 7.0))
    )
    seen = open_page(load_compare_page.render(compare_load(a, b), tmp_path / "two.html"), width=width)
    assert "✗ worse" in seen.page.locator("header").inner_text()
    assert seen.page.locator("figure.chart").count() == 4
    assert len(seen.lines()) == 4 + 3 * 2
    assert seen.cut_off() == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []


def test_what_a_server_says_is_text_and_nothing_else(open_page: Any) -> None:
    slos = (SloVerdict(SMUGGLED, False, SMUGGLED),)
    result = mixed(url=SMUGGLED, payload=SMUGGLED, notes=(SMUGGLED,), checks=(SMUGGLED,), slos=slos)
    result = replace(result, examples={"http_503": SMUGGLED}, spoiled=SMUGGLED, locations={SMUGGLED: 1})
    seen = open_page(load_page.render(result))
    assert seen.page.locator("img").count() == 0
    assert seen.page.locator("script").count() == 3
    assert seen.page.title() == f"{SMUGGLED}: {result.grade}"
    assert seen.complaints == []


def test_the_same_log_gives_the_same_page() -> None:
    assert load_page.render(mixed()) == load_page.render(mixed())


def test_the_theme_can_be_switched(open_page: Any) -> None:
    seen = open_page(load_page.render(mixed()))
    colour = "() => getComputedStyle(document.querySelector('path.line.p99')).stroke"
    light = seen.page.evaluate(colour)
    seen.page.get_by_role("button", name="Switch to dark colours").click()
    assert seen.page.evaluate(colour) != light
    assert seen.complaints == []
