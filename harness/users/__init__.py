"""The users of a real platform: they ask its router, and what they meet is measured.

Open loop: when each asks is fixed before any answer is seen, from the same streams of the seed as in a rehearsal on
virtual time, so that the same rows are asked.

    draws          which row, user and class each request has
    bodies         rows as JSON
    course         draws a little ahead, and asks when each request is due
    asking         one task a request, over aiohttp
    understanding  what an answer says: how it went, which arm gave it, what is predicted
    shares         where requests go; whose a failure is that does not say so
    records, sums  what came of it: by request for windows, added up for ever
    quality        from labels, of the answers that really came
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio.to_thread

from harness.clock import now_ns
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.fault import Fault
from harness.domain.lost import PRESUMED, lost_in
from harness.domain.model import SERVING, Revision, Role, TrainedModel
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import ServingError
from harness.protocols import ArmSample, Population, Router, Sample
from harness.realtime import Copies
from harness.sim.befall import inherited
from harness.sim.classes import class_totals
from harness.sim.ledger import Rows
from harness.sim.population import Answers
from harness.sim.tally import ClassTally
from harness.users import scope
from harness.users.asking import MOST_IN_FLIGHT, Asker
from harness.users.course import Asked, Course, Question, ended
from harness.users.draws import names
from harness.users.quality import Labelled, labelled
from harness.users.records import CODES, Records, Table
from harness.users.shares import Shares
from harness.users.sums import FAILED, LATELY, MET, WRONG, Sums
from harness.users.understanding import OK, Reader, Said


class Users:
    """Asks as the scenario's traffic says, and answers as a `MetricSource` what came of it, by arm.

    Whose a failure is that names no arm, `harness.users.shares` tells. What is under way is counted for the only arm
    that it can have gone to, and where there are several, for stable until its answer says otherwise.

    Args:
        scenario: its traffic, labels, drift and seed.
        copies: a gateway that mirrors (`realtime.Copies`); None: there is no shadow.
        most_in_flight: requests under way at a time; what would be one more fails as ``not_sent``.

    Raises:
        InputError: the rows of one arm alone are to drift.
    """

    def __init__(self, scenario: Scenario, copies: Any = None, most_in_flight: int = MOST_IN_FLIGHT) -> None:
        scope.check(scenario)
        self.scenario, self.copies = scenario, copies
        self._most = most_in_flight
        self._arms = scope.arms(scenario)
        self._kinds = names(scenario.traffic.classes)
        self._delay_ns = scope.delay_ns(scenario)
        self._shares = Shares(self._arms, scenario.traffic.classes)
        self._reader = Reader(self._arms, scope.arm_headers(scenario))
        self._records = Records(scope.keep_ns(scenario), self._over)
        users = scenario.traffic.users
        self._sums = {role: Sums(role, users, self._kinds, self._delay_ns) for role in self._arms}
        self._faults: tuple[Fault, ...] = scenario.faults
        self._origin_ns = 0
        self._changed_ns = 0
        self._asker: Asker[Asked] | None = None
        self._course: Course | None = None
        self._asking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    # --- the platform's parts tell it ---

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: answers that carry no header say it."""
        self._reader.inform(revisions)

    @contextmanager
    def rerouting(self, want: Routing) -> Iterator[None]:
        """Routing changes while this lasts; `Watched` calls it around a router's `apply`."""
        before = dict(self._shares.weights)
        with self._shares.changing(want):
            yield
        if dict(want.weights) != before:
            self._shares_changed()

    def routed(self, want: Routing) -> None:
        """This is in force already: a router was found as a killed run left it."""
        self._shares.put(want, now_ns())
        self._shares_changed()

    def _shares_changed(self) -> None:
        self._records.settle()
        self._changed_ns = now_ns()
        for sums in self._sums.values():
            sums.changed()

    # --- traffic ---

    async def start(self, url: str, models: Mapping[Role, TrainedModel], population: Population | None) -> None:
        """Begin to ask there; times of the traffic and of drift count from here."""
        question = Question(self.scenario, self._faults, models, population)
        await anyio.to_thread.run_sync(question.warm, question.level(0))
        self._reader.put(question.model)
        timeout_ns = self.scenario.service[Role.STABLE].timeout_ns
        self._asker = Asker(url, timeout_ns, self._reader, self._done, self._most)
        self._asker.open()
        self._course = Course(self.scenario, question, self._shares, self._asker)
        self._origin_ns = self._changed_ns = now_ns()
        self._shares.begin(self._origin_ns)
        loop = asyncio.get_running_loop()
        self._asking = loop.create_task(self._course.run(self._origin_ns))
        self._following = loop.create_task(question.follow(self._origin_ns))

    async def replace(self, models: Mapping[Role, TrainedModel], population: Population | None, *, adopt: bool) -> None:
        """The arms have other models from now on; with ``adopt`` what was the candidate is stable.

        Sums stay with their role. Windows begin anew, and what is under way is counted for the arm that it came to, but
        as an answer of no model: it is asked nothing of its row.
        """
        course = self._course
        if course is None:
            raise ServingError("users do not ask yet; `start` them first")
        moved = [(fault, inherited(fault.on, adopt=adopt)) for fault in self._faults]
        self._faults = tuple(replace(fault, on=on) for fault, on in moved if on)
        question = Question(self.scenario, self._faults, models, population)
        await anyio.to_thread.run_sync(question.warm, question.level(now_ns() - self._origin_ns))
        await ended(self._following)
        self._records.clear()
        for sums in self._sums.values():
            sums.another()
        course.question = question
        self._reader.put(question.model)
        self._following = asyncio.get_running_loop().create_task(question.follow(self._origin_ns))
        self.routed(Routing({Role.STABLE: WHOLE}))

    async def stop(self) -> None:
        """Ask no more, and wait for what is under way, each at most its time-out."""
        asker = self._asker
        try:
            await ended(self._asking, self._following)
        finally:
            if asker is not None:
                await asker.close()

    def _done(self, asked: Asked, said: Said) -> None:
        """Write down what came of a request."""
        kind, role = said.kind, said.role
        if role is not None:
            self._shares.answered(asked.sent, role)
        elif kind == OK:
            role = asked.sent.role
            self._shares.answered(asked.sent, role)
        else:
            role = self._shares.missed(asked.sent)
            kind = kind if asked.sent.sure else PRESUMED + kind
        if role.model in asked.lost:
            return  # its user does not come back from that arm, and nothing is known of it
        current = self._course is not None and asked.question is self._course.question
        self._records.append(
            done_ns=now_ns(),
            due_ns=asked.due_ns,
            role=SERVING.index(role),
            kind=CODES[kind],
            user=asked.user,
            cls=asked.kind,
            row=asked.row if current else -1,
            level=asked.level,
            labelled=asked.labelled,
            predicted=said.predicted,
            score=said.score,
        )

    def _over(self, table: Table) -> None:
        for role, sums in self._sums.items():
            sums.add(table.of(role), self._answers, self._changed_ns)

    @property
    def _answers(self) -> Answers | None:
        return self._course.question.answers if self._course else None

    @property
    def _in_flight(self) -> list[Asked]:
        return self._asker.in_flight if self._asker else []

    def _check(self) -> None:
        """Raise where asking has ended with an error: what is measured since means nothing."""
        error = self._asker.broken if self._asker else None
        if self._asking is not None and self._asking.done() and not self._asking.cancelled():
            error = error or self._asking.exception()
        if error is not None:
            raise ServingError(f"users cannot ask any more: {error!r}") from error

    # --- MetricSource ---

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        """What they met in ``[start, stop)``; what a request met is known when its answer has come."""
        table, known = self._between(start_ns, stop_ns)
        self._records.settle()
        found = {role: self._arm_sample(role, table.of(role), known, start_ns, stop_ns) for role in self._arms}
        if (mirror := self._mirror) is not None:
            found[Role.SHADOW] = await mirror.copies(start_ns, stop_ns)
        return found

    def _between(self, start_ns: int, stop_ns: int) -> tuple[Table, Table]:
        """Outcomes that were seen in a window, and answers whose labels came in it."""
        self._check()
        if stop_ns > now_ns():
            raise ServingError("a window cannot end in the future")
        try:
            table = self._records.between(start_ns, stop_ns)
            known = self._records.between(start_ns - self._delay_ns, stop_ns - self._delay_ns)
        except ValueError as error:
            raise ServingError(str(error)) from error
        return table, known

    def _arm_sample(self, role: Role, table: Table, known: Table, start_ns: int, stop_ns: int) -> ArmSample:
        answers, quality = self._answers, None
        if answers is not None and self.scenario.labels is not None:
            quality = Labelled(answers).add(labelled(answers, known.of(role)))
        return ArmSample(
            requests=len(table),
            failed=int((~table.ok).sum()),
            errors=table.errors,
            latency=table.latency,
            arrivals=self._arrivals(role, start_ns, stop_ns),
            labelled=quality.count if quality else 0,
            quality=quality.figures() if quality else {},
            span_ns=self._shares.exposure.span_ns((role,), start_ns, stop_ns),
            gauges=self._gauges(role, table.rows(answers.rows, table.ok) if answers else {}),
            users=self._sums[role].having(LATELY),
        )

    def _arrivals(self, role: Role, start_ns: int, stop_ns: int) -> int:
        """Requests that were due in a window and went to the arm; of those under way, what can be no other's."""
        table = self._records.since(start_ns).of(role)
        come = int(((start_ns <= table["due_ns"]) & (table["due_ns"] < stop_ns)).sum())
        coming = [asked for asked in self._in_flight if asked.sent.sure and asked.sent.role is role]
        return come + sum(start_ns <= asked.due_ns < stop_ns for asked in coming)

    def _gauges(self, role: Role, rows: Rows) -> dict[str, float]:
        answers = self._answers
        if answers is None or not rows:
            return {}
        return {
            "drift_score": answers.drift_score(role, rows),
            "prediction_drift": answers.prediction_drift(role, rows),
        }

    @property
    def _mirror(self) -> Copies | None:
        return self.copies if scope.mirrors(self.scenario) and isinstance(self.copies, Copies) else None

    async def totals(self) -> Mapping[Role, ArmTotals]:
        """What they met since they began; ``first_ns`` is when the first request was due."""
        self._check()
        self._records.settle()
        now = now_ns()
        found = {role: self._arm_totals(sums, now) for role, sums in self._sums.items()}
        if (mirror := self._mirror) is not None:
            found[Role.SHADOW] = await mirror.copied()
        return found

    def _arm_totals(self, sums: Sums, now: int) -> ArmTotals:
        role, judged = sums.role, sums.role is Role.CANDIDATE
        flying = Counter(asked.kind for asked in self._in_flight if asked.sent.role is role)
        arrived = sums.ok + sums.failed + flying.total()
        known = self._answers is not None
        return ArmTotals(
            arrived=arrived,
            succeeded=sums.ok,
            failed=sums.failed,
            in_flight=flying.total(),
            errors=dict(sorted(sums.errors.items())),
            bad=(sums.worse + sums.failed if known else None) if judged else 0,
            figures=self._total_sample(sums, arrived, now).figures(),
            first_ns=sums.first_ns,
            users=sums.having(MET),
            harmed=sums.having(FAILED | WRONG if judged else FAILED),
            classes=self._classes(sums, flying),
        )

    def _classes(self, sums: Sums, flying: Mapping[int, int]) -> dict[str, Any]:
        if not self.scenario.traffic.classes:
            return {}
        named = enumerate(zip(self._kinds, sums.classes, strict=True))
        return {
            name: class_totals(tally + ClassTally(arrivals=flying.get(number, 0))) for number, (name, tally) in named
        }

    def _total_sample(self, sums: Sums, arrived: int, now: int) -> ArmSample:
        """All that the arm ever did, as a window."""
        answers, quality = self._answers, None
        if answers is not None and self.scenario.labels is not None:
            quality = sums.labels(now, answers)
        return ArmSample(
            requests=sums.ok + sums.failed,
            failed=sums.failed,
            errors=sums.errors,
            latency=sums.latency,
            arrivals=arrived,
            labelled=quality.count if quality else 0,
            quality=quality.figures() if quality else {},
            span_ns=self._shares.exposure.span_ns((sums.role,), self._origin_ns, now),
            gauges=self._gauges(sums.role, sums.answered),
        )

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """The features of the requests that were answered in ``[start, stop)``; empty where there are no rows."""
        answers = self._answers
        return () if answers is None else answers.inputs(self._asked_rows(answers, start_ns, stop_ns))

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm's model says of the rows that were answered in ``[start, stop)``; empty without rows."""
        answers = self._answers
        return {} if answers is None else answers.predictions(self._asked_rows(answers, start_ns, stop_ns))

    def _asked_rows(self, answers: Answers, start_ns: int, stop_ns: int) -> dict[Role, Rows]:
        table, _ = self._between(start_ns, stop_ns)
        arms = {role: table.of(role) for role in self._arms}
        return {role: mine.rows(answers.rows, mine.ok) for role, mine in arms.items()}

    def lost(self) -> Mapping[str, int]:
        """Requests that no replica answered at all, by kind (`harness.domain.lost.LOST`), of all arms."""
        self._records.settle()
        found: Counter[str] = Counter()
        for sums in self._sums.values():
            found.update(lost_in(sums.errors))
        return dict(sorted(found.items()))


class Watched:
    """A router whose users are told where it sends them."""

    def __init__(self, router: Router, users: Users) -> None:
        self.router, self._users = router, users

    async def apply(self, want: Routing) -> Weights:
        """Put it in force, and tell the users."""
        with self._users.rerouting(want):
            return await self.router.apply(want)
