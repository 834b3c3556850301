"""The report page in a real browser: every plot is drawn, nothing is fetched, nothing is complained of."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import app, log
from harness.report import fold, html
from harness.report.chapters import chapters
from harness.report.plots import plots
from harness.report.result import Result
from tests import requires
from tests.report.stories import long_canary
from tests.report.test_fold import STORIES
from tests.report.test_lifecycle import RUNS

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]
SCENARIO = Path(__file__).parents[2] / "scenarios" / "canary_regression.yaml"
SMUGGLED = '<script>document.title="smuggled"</script></script><img src=x onerror="document.title=1"><!-- &amp; \u2028'


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

    def drawn(self) -> list[int]:
        """For each plot: how many of its pixels were painted."""
        found: list[int] = self.page.evaluate(
            """() => [...document.querySelectorAll("figure.plot canvas")].map((canvas) => {
                 const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                 let painted = 0;
                 for (let i = 3; i < pixels.length; i += 4) painted += pixels[i] > 0;
                 return painted;
               })"""
        )
        return found


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    contexts = []

    def opened(result: Result, *, scheme: str = "light", width: int = 1280) -> Opened:
        path = tmp_path / "report.html"
        html.write(result, path)
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        seen = Opened(context.new_page())
        seen.page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(path.as_uri())
        seen.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert seen.requests == [path.as_uri()]
        return seen

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_every_plot_is_drawn_and_nothing_is_complained_of(open_page: Any, scheme: str, width: int) -> None:
    result = fold(long_canary())
    seen = open_page(result, scheme=scheme, width=width)
    seen.page.wait_for_load_state("networkidle")
    painted = seen.drawn()
    assert len(seen.requests) == 1
    assert len(painted) == len(plots(result)) == 7
    assert min(painted) > 1000
    assert seen.complaints == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_of_a_real_run(open_page: Any, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:  # the browser's driver keeps an event loop in this thread
        scenario, options = app.load_scenario(SCENARIO), app.Options(reports=tmp_path / "reports")
        made = pool.submit(app.rehearse, scenario, options).result()
    result = fold(log.read(made.path))
    assert result == fold(made.log.events)
    assert result.passed
    seen = open_page(result)
    assert [plot.id for plot in plots(result)] == [
        "share",
        "p50",
        "p95",
        "p99",
        "error_rate",
        "accuracy",
        "drift_score",
        "prediction_drift",
    ]
    assert min(seen.drawn()) > 1000
    assert seen.complaints == []


@pytest.mark.parametrize("outcome", STORIES)
def test_a_page_of_every_outcome(open_page: Any, outcome: str) -> None:
    result = fold(STORIES[outcome]())
    seen = open_page(result)
    assert seen.page.title() == f"canary-regression: {outcome.replace('_', ' ')}"
    assert len(seen.drawn()) == len(plots(result))
    assert seen.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["better", "shadow", "classes", "expired", "taken back", "retrained"])
def test_a_page_of_the_lifecycle(open_page: Any, name: str, scheme: str) -> None:
    """Tests, shadows, classes, people, alarms, several rollouts: each plot is drawn, and all fits a narrow screen."""
    result = fold(RUNS[name]())
    seen = open_page(result, scheme=scheme, width=420)
    painted = seen.drawn()
    assert len(painted) == len(plots(result))
    assert min(painted) > 1000
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 420
    titles = seen.page.locator("h2").all_inner_texts()
    assert [chapter.title for chapter in chapters(result) if not chapter.detail and chapter.title not in titles] == []
    assert seen.complaints == []


def test_the_theme_can_be_switched_and_plots_follow(open_page: Any) -> None:
    seen = open_page(fold(long_canary()))
    pixel = "() => getComputedStyle(document.body).backgroundColor"
    light = seen.page.evaluate(pixel)
    picture = "() => document.querySelector('#plot-p95 canvas').toDataURL()"
    before = seen.page.evaluate(picture)
    seen.page.get_by_role("button", name="Switch to dark colours").click()
    assert seen.page.evaluate(pixel) != light
    assert seen.page.evaluate(picture) != before
    seen.page.get_by_role("button", name="Switch to light colours").click()
    assert seen.page.evaluate(picture) == before
    assert seen.complaints == []


def test_one_cursor_reads_every_plot(open_page: Any) -> None:
    seen = open_page(fold(long_canary()))
    seen.page.locator("#plot-p95").scroll_into_view_if_needed()
    box = seen.page.locator("#plot-p95 .u-over").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = seen.page.locator(".live").all_inner_texts()
    assert len(told) == 7
    assert all(text.startswith("at 8:") for text in told), told


def test_it_is_readable_without_its_script(browser: Any, tmp_path: Path) -> None:
    html.write(fold(long_canary()), tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    text = page.inner_text("body")
    context.close()
    assert "Rolled back 16m after its first request" in text
    assert "each has its figures in a table below it" in text


def test_what_a_scenario_says_is_text_and_nothing_else(open_page: Any) -> None:
    from harness.domain import event as e

    events = list(long_canary(scenario=SMUGGLED, description=SMUGGLED, text=SMUGGLED, overrides=(SMUGGLED,)))
    for index, event in enumerate(events):
        if isinstance(event, e.Noticed):
            events[index] = e.Noticed(event.at_ns, event.kind, event.on, SMUGGLED)
        if isinstance(event, e.Decided):
            events[index] = e.Decided(event.at_ns, event.outcome, SMUGGLED, event.because)
    seen = open_page(fold(events))
    assert seen.page.locator("h1").text_content() == SMUGGLED
    assert seen.page.title().startswith("<script>")
    assert seen.page.locator("pre code").text_content() == SMUGGLED
    assert seen.page.locator("script").count() == 3
    assert seen.page.locator("img").count() == 0
    assert len(seen.drawn()) == 7
    assert seen.complaints == []


def test_it_prints_in_light_colours(open_page: Any) -> None:
    seen = open_page(fold(long_canary()), scheme="dark")
    assert len(seen.page.pdf()) > 10_000
    assert seen.complaints == []
