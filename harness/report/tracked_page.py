"""Training runs side by side as one HTML page that needs nothing else: parallel coordinates, and the table."""

from html import escape
from typing import Final

from markupsafe import Markup

from harness.domain.training import TrackedRun
from harness.report.html import asset, environment, policy
from harness.report.tracked import SHORT, Axis, TrackedComparison

WIDTH: Final = 960
HEIGHT: Final = 320
SIDE: Final = 70
TOP: Final = 46
BOTTOM: Final = 36
COLOURS: Final = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
DASHES: Final = ("", "7 4", "2 3", "9 3 2 3")
"""With the colours, these tell 32 runs apart, also for those who see no colours."""


def render(compared: TrackedComparison) -> str:
    """The page as text; the same runs give the same page."""
    styles, scripts = [asset("report.css"), asset("pages.css")], [asset("theme.js")]
    return (
        environment()
        .get_template("tracked.html.j2")
        .render(
            compared=compared,
            marks=[(key(number), run) for number, run in enumerate(compared.runs)],
            plot=plot(compared) if len(compared.axes) > 1 else "",
            short=SHORT,
            styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            policy=policy(scripts, styles),
        )
    )


def plot(compared: TrackedComparison) -> Markup:
    """A line for each run through every figure that all have: each axis from its least value to its greatest."""
    step = (WIDTH - 2 * SIDE) / (len(compared.axes) - 1)
    places = [SIDE + step * number for number in range(len(compared.axes))]
    axes = [_axis(axis, at) for axis, at in zip(compared.axes, places, strict=True)]
    lines = [_line(compared, number, run, places) for number, run in enumerate(compared.runs)]
    label = f"{len(compared.runs)} training runs by {', '.join(axis.name for axis in compared.axes)}"
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join((*axes, *lines))}</svg>'
    )


def key(number: int) -> Markup:
    """A short piece of a run's line."""
    return Markup(  # noqa: S704 - numbers and our own colours
        '<svg width="34" height="10" viewBox="0 0 34 10" aria-hidden="true">'
        f'<line x1="1" y1="5" x2="33" y2="5" {_pen(number)}/></svg>'
    )


def _axis(axis: Axis, at: float) -> str:
    text = 'fill="currentColor" font-size="12" text-anchor="middle"'
    return (
        f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="currentColor" opacity="0.35"/>'
        f'<text x="{at:.1f}" y="18" font-weight="600" {text}>{escape(axis.name)}</text>'
        f'<text x="{at:.1f}" y="{TOP - 8}" {text}>{axis.high:.4g}</text>'
        f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" {text}>{axis.low:.4g}</text>'
    )


def _line(compared: TrackedComparison, number: int, run: TrackedRun, places: list[float]) -> str:
    room = HEIGHT - TOP - BOTTOM
    points = " ".join(
        f"{at:.1f},{TOP + room * (1 - axis.place(axis.values[number])):.1f}"
        for axis, at in zip(compared.axes, places, strict=True)
    )
    told = ", ".join(f"{axis.name} {axis.values[number]:.4g}" for axis in compared.axes)
    title = escape(f"{run.run_id[:SHORT]} {run.name}: {told}")
    return f'<polyline points="{points}" fill="none" {_pen(number)}><title>{title}</title></polyline>'


def _pen(number: int) -> str:
    colour = COLOURS[number % len(COLOURS)]
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return f'stroke="{colour}" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")
