"""Runs on disk: a list says what the whole log says, and retention deletes what it may and nothing else."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import app, clock, log
from harness.app.kept import QUIET, Kept
from harness.errors import InputError
from harness.log import EventLog, Events
from harness.report import fold, glance
from tests.report.stories import long_canary
from tests.report.test_fold import STORIES

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FULL_ONLY = {"analysis", "tallies", "series", "markers", "moments", "event_digest"}
"""What only the whole log tells."""


def put(reports: Path, scenario: str, began: datetime, events: Events, *, touched: datetime | None = None) -> Path:
    """Leave a run on disk, as one that began then would."""
    folder = reports / scenario / f"{began:%Y%m%dT%H%M%S}-7"
    folder.mkdir(parents=True)
    kept = EventLog(folder / app.LOG_NAME)
    for event in events:
        kept.append(event)
    kept.close()
    (folder / "report.html").write_text("page", encoding="utf-8")
    stamp = (touched or began).timestamp()
    os.utime(folder / app.LOG_NAME, (stamp, stamp))
    return folder


def story(outcome: str, began: datetime) -> Events:
    return STORIES[outcome](started=began.isoformat())


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: NOW)


EXPECT = ("detected_after < 45m", "p95 <= stable * 1.5", "accuracy > 0.75 or bad_responses < 10")
LOGS: dict[str, Callable[[], Events]] = {
    **{name: partial(story, expect=EXPECT) for name, story in STORIES.items()},
    "a long one": long_canary,
    "a long good one": partial(long_canary, bad=False),
}


@pytest.mark.parametrize("name", LOGS)
def test_a_glance_says_what_the_whole_log_says(name: str, tmp_path: Path) -> None:
    folder = put(tmp_path, "s", NOW, LOGS[name]())
    path = folder / app.LOG_NAME
    whole, seen = fold(log.read(path)), glance(log.read_gist(path))
    same = [field.name for field in fields(whole) if field.name not in FULL_ONLY]
    assert {name: getattr(seen, name) for name in same} == {name: getattr(whole, name) for name in same}


def test_the_list_is_newest_first_and_passes_over_what_is_no_run(tmp_path: Path) -> None:
    for day, scenario, outcome in ((1, "a", "promoted"), (3, "b", "error"), (2, "a", "unfinished")):
        began = NOW - timedelta(days=10 - day)
        folder = put(tmp_path, scenario, began, story(outcome, began))
    (tmp_path / "latest").symlink_to(folder)
    (tmp_path / "a" / "latest").symlink_to(folder)
    (tmp_path / "a" / "notes").mkdir()
    broken = tmp_path / "c" / "20260501T000000-1"
    broken.mkdir(parents=True)
    (broken / app.LOG_NAME).write_text("not a log\n{}\n", encoding="utf-8")
    found = app.kept_runs(tmp_path)
    assert [(run.scenario, run.result.outcome if run.result else run.problem[-12:]) for run in found[:3]] == [
        ("b", "error"),
        ("a", None),
        ("a", "promoted"),
    ]
    assert found[3].result is None
    assert f"{broken / app.LOG_NAME}:1:" in found[3].problem
    assert [run.scenario for run in app.kept_runs(tmp_path, "a")] == ["a", "a"]


runs = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 80),
        st.sampled_from(["promoted", "rolled_back", "unfinished"]),
        st.integers(0, 80),
    ),
    max_size=9,
    unique_by=lambda run: (run[0], run[1]),
)


@given(runs, st.none() | st.integers(0, 4), st.none() | st.integers(0, 60))
def test_retention(found: list[tuple[str, int, str, int]], keep: int | None, days: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        reports = Path(name) / "reports"
        reports.mkdir()
        under_way = set()
        for scenario, age, outcome, idle in found:
            began = NOW - timedelta(days=age, hours=1)
            touched = max(began, NOW - timedelta(days=idle, hours=1))
            folder = put(reports, scenario, began, story(outcome, began), touched=touched)
            if outcome == "unfinished" and NOW - touched < QUIET:
                under_way.add(folder)
            (reports / scenario / "latest").unlink(missing_ok=True)
            (reports / scenario / "latest").symlink_to(folder.name)
            (reports / "latest").unlink(missing_ok=True)
            (reports / "latest").symlink_to(os.path.relpath(folder, reports))
        before = app.kept_runs(reports)
        limit = None if days is None else timedelta(days=days)
        gone = app.prunable(before, keep=keep, older_than=limit)
        assert app.kept_runs(reports) == before  # saying what would go deletes nothing
        app.prune(gone, reports)
        after = {run.folder for run in app.kept_runs(reports)}
        assert after == {run.folder for run in before} - {run.folder for run in gone}
        assert under_way <= after
        for scenario in {run.scenario for run in before}:
            of_it = [run.folder for run in before if run.scenario == scenario]
            assert set(of_it[: keep or 0]) <= after
            beyond = [
                run.folder
                for index, run in enumerate(each for each in before if each.scenario == scenario)
                if (keep is None or index >= keep) and (limit is None or NOW - run.began > limit)
            ]
            assert set(beyond) - under_way == set(of_it) - after
            left = [folder for folder in of_it if folder in after]
            link = reports / scenario / "latest"
            assert link.exists() == bool(left)
            assert not link.is_symlink() or link.exists()
        assert not (reports / "latest").is_symlink() or (reports / "latest").exists()
        assert (reports / "latest").exists() == bool(after)


def test_pruning_touches_nothing_but_runs(tmp_path: Path) -> None:
    """Links are not followed, and folders that only look like runs stay."""
    reports, elsewhere = tmp_path / "reports", tmp_path / "elsewhere"
    old = NOW - timedelta(days=99)
    kept = put(elsewhere, "a", old, story("promoted", old))
    (reports / "a").mkdir(parents=True)
    (reports / "a" / kept.name).symlink_to(kept)
    (reports / "linked").symlink_to(elsewhere / "a")
    own = put(reports, "mine", old, story("promoted", old))
    (own / "notes").symlink_to(elsewhere)
    renamed = own.parent / "the-good-one"
    put(reports, "mine", old - timedelta(days=1), story("promoted", old)).rename(renamed)
    broken = own.parent / "20200101T000000-1"
    broken.mkdir()
    (broken / app.LOG_NAME).write_text("precious", encoding="utf-8")
    (reports / ".cache" / "models").mkdir(parents=True)
    gone = app.prunable(app.kept_runs(reports), keep=0, older_than=None)
    assert [run.folder for run in gone] == [own]
    app.prune(gone, reports)
    assert not own.exists()
    assert renamed.is_dir()
    assert broken.is_dir()
    assert (kept / app.LOG_NAME).is_file()
    assert (reports / "linked").is_symlink()
    assert (reports / ".cache" / "models").is_dir()
    with pytest.raises(InputError, match="nothing outside is deleted"):
        app.prune([Kept(kept, fold(story("promoted", old)))], reports)
    assert (kept / app.LOG_NAME).is_file()


def test_a_page_of_a_suite_goes_with_the_last_of_its_runs(tmp_path: Path) -> None:
    from harness.report import suite_page

    old = NOW - timedelta(days=9)
    folders = [put(tmp_path, name, old, story("promoted", old)) for name in ("a", "b & c")]
    page = app.suite_folder(tmp_path) / "index.html"
    suite_page.write([fold(story("promoted", old), report_path=f / "report.html") for f in folders], page)
    app.prune(app.prunable(app.kept_runs(tmp_path, "a"), keep=0, older_than=None), tmp_path)
    assert page.is_file()
    app.prune(app.prunable(app.kept_runs(tmp_path), keep=0, older_than=None), tmp_path)
    assert not page.parent.exists()
    assert list(tmp_path.iterdir()) == []


# --- retention after a run --------------------------------------------------------------------------------------------


def test_retention_spares_what_was_just_made_and_what_another_process_is_making(tmp_path: Path) -> None:
    """However old the clock makes a run look, and however many there are."""
    old, fresh = NOW - timedelta(days=9), NOW - timedelta(hours=1)
    just = put(tmp_path, "a", old, story("promoted", old))
    under_way = put(tmp_path, "a", fresh - timedelta(minutes=3), story("unfinished", fresh))
    no_page_yet = put(tmp_path, "a", fresh - timedelta(minutes=2), story("promoted", fresh - timedelta(minutes=2)))
    (no_page_yet / "report.html").unlink()
    never_a_page = put(tmp_path, "b", old, story("promoted", old))
    (never_a_page / "report.html").unlink()
    done = put(tmp_path, "a", fresh - timedelta(minutes=1), story("promoted", fresh - timedelta(minutes=1)))
    newest = put(tmp_path, "a", fresh, story("promoted", fresh))
    gone = app.retain(tmp_path, keep=1, older_than=None, made=[just.parent / ".." / "a" / just.name])
    assert [run.folder for run in gone] == [done]
    assert {run.folder for run in app.kept_runs(tmp_path)} == {just, under_way, no_page_yet, never_a_page, newest}
    assert {run.folder for run in app.retain(tmp_path, keep=None, older_than=timedelta(days=2))} == {just, never_a_page}


@given(runs, st.none() | st.integers(1, 4), st.none() | st.integers(0, 60), st.data())
def test_retention_deletes_what_prune_would_but_the_runs_just_made(
    found: list[tuple[str, int, str, int]], keep: int | None, days: int | None, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        reports = Path(name)
        for scenario, age, outcome, idle in found:
            began = NOW - timedelta(days=age, hours=1)
            touched = max(began, NOW - timedelta(days=idle, hours=1))
            put(reports, scenario, began, story(outcome, began), touched=touched)
        before = app.kept_runs(reports)
        made = data.draw(st.sets(st.sampled_from([run.folder for run in before]))) if before else set()
        limit = None if days is None else timedelta(days=days)
        expected = [run for run in app.prunable(before, keep=keep, older_than=limit) if run.folder not in made]
        assert app.retain(reports, keep=keep, older_than=limit, made=made) == expected
        left = {run.folder for run in app.kept_runs(reports)}
        assert left == {run.folder for run in before} - {run.folder for run in expected}


def test_what_somebody_else_deletes_meanwhile_is_no_failure(tmp_path: Path) -> None:
    old = NOW - timedelta(days=9)
    for name in ("a", "b"):
        put(tmp_path, name, old, story("promoted", old))
    gone = app.prunable(app.kept_runs(tmp_path), keep=0, older_than=None)
    app.prune(gone, tmp_path)
    app.prune(gone, tmp_path)
    assert list(tmp_path.iterdir()) == []
