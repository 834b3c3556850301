"""The pages of several runs in a real browser: nothing is fetched, nothing complained of, and links lead somewhere."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.report import compare, compare_page, fold, html, suite_page
from harness.report.result import Result, Unstarted
from tests import requires
from tests.e2e.test_report_page import ARGS, SMUGGLED, Opened
from tests.report.stories import long_canary
from tests.report.test_fold import STORIES

BLACK = "rgb(0, 0, 0)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = requires.browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=ARGS, headless=True)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    contexts = []

    def opened(path: Path, *, scheme: str = "light", width: int = 1280) -> Opened:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        seen = Opened(context.new_page())
        seen.page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(path.as_uri())
        seen.page.wait_for_load_state("networkidle")
        assert seen.requests == [path.as_uri()]
        return seen

    yield opened
    for context in contexts:
        context.close()


def put(reports: Path, name: str, result: Result) -> Result:
    """The run with a page of its own."""
    folder = reports / name / "20260101T000000-7"
    folder.mkdir(parents=True)
    result = replace(result, name=name, report=str(folder / "report.html"))
    html.write(result, folder / "report.html")
    return result


def suite(reports: Path) -> Path:
    page = reports / "suite-20260101T000000" / "index.html"
    page.parent.mkdir()
    results = [put(reports, f"a & {outcome} #1", fold(story())) for outcome, story in STORIES.items()]
    lost = Unstarted("lost", "lost.yaml", SMUGGLED)
    suite_page.write([*results, lost], page, ["real.yaml"], ["later.yaml"])
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_of_a_suite(open_page: Any, tmp_path: Path, scheme: str, width: int) -> None:
    seen = open_page(suite(tmp_path), scheme=scheme, width=width)
    rows = seen.page.locator("tbody tr")
    assert rows.count() == len(STORIES) + 3
    told = seen.page.locator("tbody").inner_text()
    assert "Rolled back 4m after its first request" in told
    assert SMUGGLED.split("\u2028")[0].strip() in told
    assert seen.page.locator("svg.spark path").count() == len(STORIES) - 1  # the rejected one had no traffic
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.locator("img").count() == 0
    assert seen.complaints == []


def test_every_link_of_a_suite_leads_to_the_page_of_its_run(open_page: Any, tmp_path: Path) -> None:
    page = suite(tmp_path)
    seen = open_page(page)
    links = seen.page.locator("tbody a")
    names = links.all_inner_texts()
    assert len(names) == len(STORIES)
    for index, name in enumerate(names):
        links.nth(index).click()
        assert seen.page.locator("h1").inner_text() == name
        seen.page.go_back()
    assert all(url.startswith("file:") for url in seen.requests)
    assert seen.complaints == []


def test_the_same_suite_gives_the_same_page(tmp_path: Path) -> None:
    page = suite(tmp_path)
    results = [
        replace(
            fold(story()),
            name=f"a & {outcome} #1",
            report=str(tmp_path / f"a & {outcome} #1/20260101T000000-7/report.html"),
        )
        for outcome, story in STORIES.items()
    ]
    again = suite_page.render([*results, Unstarted("lost", "lost.yaml", SMUGGLED)], page, ["real.yaml"], ["later.yaml"])
    assert again == page.read_text(encoding="utf-8")


def two(a: Result, b: Result, tmp_path: Path) -> Path:
    page = tmp_path / "two.html"
    page.write_text(compare_page.render(compare.compare(a, b), page), encoding="utf-8")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_two_runs_side_by_side(open_page: Any, tmp_path: Path, scheme: str, width: int) -> None:
    a, b = fold(long_canary()), fold(long_canary(bad=False, text="harness: 1\nname: other\n"))
    seen = open_page(two(a, b, tmp_path), scheme=scheme, width=width)
    assert seen.page.locator("article").count() == 2
    frames = seen.page.locator(".frames svg")
    assert frames.count() == 7
    curves = seen.page.evaluate(
        """() => [...document.querySelectorAll(".frames path")].map((path) => {
             const box = path.getBBox(), frame = path.ownerSVGElement.viewBox.baseVal;
             return [path.getTotalLength(), box.x >= 0 && box.y >= 0 && box.x + box.width <= frame.width
                     && box.y + box.height <= frame.height, getComputedStyle(path).stroke];
           })"""
    )
    assert len(curves) == 6 * 4 + 2
    assert all(length > 0 and inside and stroke not in ("none", BLACK) for length, inside, stroke in curves)
    assert seen.page.locator(".diff .add, .diff .del").count() > 2
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []


@pytest.mark.parametrize("outcome", STORIES)
def test_every_outcome_beside_a_long_run(open_page: Any, tmp_path: Path, outcome: str) -> None:
    seen = open_page(two(fold(STORIES[outcome]()), fold(long_canary()), tmp_path))
    assert seen.page.locator(".frames svg").count() == 7
    assert seen.complaints == []


def test_what_scenarios_say_is_text_and_nothing_else(open_page: Any, tmp_path: Path) -> None:
    a = fold(long_canary(scenario=SMUGGLED, text=SMUGGLED, overrides=(SMUGGLED,), run=SMUGGLED))
    seen = open_page(two(a, fold(long_canary(text="harness: 1\n")), tmp_path))
    assert seen.page.title() == f"{SMUGGLED} and canary-regression: two runs"
    assert seen.page.locator("script").count() == 1
    assert seen.page.locator("img").count() == 0
    assert seen.complaints == []


def test_the_theme_can_be_switched(open_page: Any, tmp_path: Path) -> None:
    seen = open_page(suite(tmp_path))
    colour = "() => getComputedStyle(document.body).backgroundColor"
    light = seen.page.evaluate(colour)
    seen.page.get_by_role("button", name="Switch to dark colours").click()
    assert seen.page.evaluate(colour) != light
    seen.page.get_by_role("button", name="Switch to light colours").click()
    assert seen.page.evaluate(colour) == light
    assert seen.complaints == []
