"""What users met, as figures: windows from the records, totals from the sums."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.clock import now_ns
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.lost import lost_in
from harness.domain.model import SERVING, Role
from harness.domain.scenario import Scenario
from harness.errors import ServingError
from harness.protocols import ArmSample, Sample
from harness.realtime import Copies
from harness.sim.classes import class_totals
from harness.sim.ledger import Rows
from harness.sim.population import Answers
from harness.sim.tally import ClassTally
from harness.users import scope
from harness.users.course import Asked
from harness.users.draws import names
from harness.users.quality import Labelled, labelled
from harness.users.records import CODES, Records, Table
from harness.users.shares import Shares
from harness.users.sums import FAILED, LATELY, MET, WRONG, Sums
from harness.users.understanding import Said


class Measured:
    """All that was seen of each arm.

    Args:
        scenario: its arms, users, classes and labels.
        shares: when each arm had traffic.
        copies: knows what copies of requests met; None: there are none.
    """

    def __init__(self, scenario: Scenario, shares: Shares, copies: Any) -> None:
        self._scenario, self._shares = scenario, shares
        self._mirror: Copies | None = copies if scope.mirrors(scenario) and isinstance(copies, Copies) else None
        self._arms = scope.arms(scenario)
        self._kinds = names(scenario.traffic.classes)
        self._delay_ns = scope.delay_ns(scenario)
        self._records = Records(scope.keep_ns(scenario), self._over)
        users = scenario.traffic.users
        self._sums = {role: Sums(role, users, self._kinds, self._delay_ns) for role in self._arms}
        self._answers: Answers | None = None
        self._origin_ns = self._changed_ns = 0

    def begin(self, at_ns: int, answers: Answers | None) -> None:
        """Users begin to ask; these are the models' answers, None where there is no population."""
        self._origin_ns = self._changed_ns = at_ns
        self._answers = answers

    def another(self, answers: Answers | None) -> None:
        """There is another candidate: windows begin anew, and sums stay with their role."""
        self._records.clear()
        for sums in self._sums.values():
            sums.another()
        self._answers = answers

    def shares_changed(self) -> None:
        """Whom each arm meets lately is counted from now on."""
        self._records.settle()
        self._changed_ns = now_ns()
        for sums in self._sums.values():
            sums.changed()

    def book(self, asked: Asked, role: Role, kind: str, said: Said) -> None:
        """Write down what came of a request; an answer of earlier models is one to no row."""
        self._records.append(
            done_ns=now_ns(),
            due_ns=asked.due_ns,
            role=SERVING.index(role),
            kind=CODES[kind],
            user=asked.user,
            cls=asked.kind,
            row=asked.row if asked.question.answers is self._answers else -1,
            level=asked.level,
            labelled=asked.labelled,
            predicted=said.predicted,
            score=said.score,
        )

    def _over(self, table: Table) -> None:
        for role, sums in self._sums.items():
            sums.add(table.of(role), self._answers, self._changed_ns)

    async def sample(self, start_ns: int, stop_ns: int, flying: Sequence[Asked]) -> Sample:
        """What each arm did in ``[start, stop)``; what a request met is known when its answer has come.

        Args:
            start_ns: of the window.
            stop_ns: its end; at most now.
            flying: requests under way.
        """
        table, known = self._between(start_ns, stop_ns)
        self._records.settle()
        found = {}
        for role in self._arms:
            arrivals = self._arrivals(role, start_ns, stop_ns, flying)
            found[role] = self._arm_sample(role, table.of(role), known.of(role), arrivals, start_ns, stop_ns)
        if self._mirror is not None:
            found[Role.SHADOW] = await self._mirror.copies(start_ns, stop_ns)
        return found

    def _between(self, start_ns: int, stop_ns: int) -> tuple[Table, Table]:
        """Outcomes that were seen in a window, and answers whose labels came in it."""
        if stop_ns > now_ns():
            raise ServingError("a window cannot end in the future")
        try:
            table = self._records.between(start_ns, stop_ns)
            known = self._records.between(start_ns - self._delay_ns, stop_ns - self._delay_ns)
        except ValueError as error:
            raise ServingError(str(error)) from error
        return table, known

    def _arm_sample(
        self, role: Role, table: Table, known: Table, arrivals: int, start_ns: int, stop_ns: int
    ) -> ArmSample:
        answers, quality = self._answers, None
        if answers is not None and self._scenario.labels is not None:
            quality = Labelled(answers).add(labelled(answers, known))
        return ArmSample(
            requests=len(table),
            failed=int((~table.ok).sum()),
            errors=table.errors,
            latency=table.latency,
            arrivals=arrivals,
            labelled=quality.count if quality else 0,
            quality=quality.figures() if quality else {},
            span_ns=self._shares.exposure.span_ns((role,), start_ns, stop_ns),
            gauges=self._gauges(role, table.rows(answers.rows, table.ok) if answers else {}),
            users=self._sums[role].having(LATELY),
        )

    def _arrivals(self, role: Role, start_ns: int, stop_ns: int, flying: Sequence[Asked]) -> int:
        """Requests that were due in a window and went to the arm; of those under way, what can be no other's."""
        table = self._records.since(start_ns).of(role)
        come = int(((start_ns <= table["due_ns"]) & (table["due_ns"] < stop_ns)).sum())
        coming = [asked for asked in flying if asked.sent.sure and asked.sent.role is role]
        return come + sum(start_ns <= asked.due_ns < stop_ns for asked in coming)

    def _gauges(self, role: Role, rows: Rows) -> dict[str, float]:
        answers = self._answers
        if answers is None or not rows:
            return {}
        return {
            "drift_score": answers.drift_score(role, rows),
            "prediction_drift": answers.prediction_drift(role, rows),
        }

    async def totals(self, flying: Sequence[Asked]) -> Mapping[Role, ArmTotals]:
        """What each arm did since users began to ask; ``first_ns`` is when its first request was due."""
        self._records.settle()
        now = now_ns()
        found = {role: self._arm_totals(sums, now, flying) for role, sums in self._sums.items()}
        if self._mirror is not None:
            found[Role.SHADOW] = await self._mirror.copied()
        return found

    def _arm_totals(self, sums: Sums, now: int, under_way: Sequence[Asked]) -> ArmTotals:
        role, judged = sums.role, sums.role is Role.CANDIDATE
        flying = Counter(asked.kind for asked in under_way if asked.sent.role is role)
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
        if not self._scenario.traffic.classes:
            return {}
        named = enumerate(zip(self._kinds, sums.classes, strict=True))
        return {
            name: class_totals(tally + ClassTally(arrivals=flying.get(number, 0))) for number, (name, tally) in named
        }

    def _total_sample(self, sums: Sums, arrived: int, now: int) -> ArmSample:
        """All that the arm ever did, as a window."""
        answers, quality = self._answers, None
        if answers is not None and self._scenario.labels is not None:
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

    def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """The features of the requests that were answered in ``[start, stop)``; empty where there are no rows."""
        answers = self._answers
        return () if answers is None else answers.inputs(self._asked_rows(answers, start_ns, stop_ns))

    def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm's model says of the rows that were answered in ``[start, stop)``; empty without rows."""
        answers = self._answers
        return {} if answers is None else answers.predictions(self._asked_rows(answers, start_ns, stop_ns))

    def _asked_rows(self, answers: Answers, start_ns: int, stop_ns: int) -> dict[Role, Rows]:
        table, _ = self._between(start_ns, stop_ns)
        arms = {role: table.of(role) for role in self._arms}
        return {role: mine.rows(answers.rows, mine.ok) for role, mine in arms.items()}

    def lost(self) -> dict[str, int]:
        """Requests that no replica answered at all, by kind (`harness.domain.lost.LOST`), of all arms."""
        self._records.settle()
        found: Counter[str] = Counter()
        for sums in self._sums.values():
            found.update(lost_in(sums.errors))
        return dict(sorted(found.items()))
