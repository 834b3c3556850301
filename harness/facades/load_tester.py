"""Load tests of a model's endpoint under the handbooks' name: the generator of `harness load`, in the caller's loop."""

import copy
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness import clock
from harness.domain.load import (
    AnswerChecks,
    ClosedLoop,
    Limits,
    LoadPlan,
    OpenLoop,
    Payload,
    Target,
)
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.facades.load_config import bodies_of, open_loop, order_of, seconds, speech_of, url_of, whole
from harness.load import consent, summary
from harness.load.address import Address
from harness.load.client import Client, make_client
from harness.load.exchange import IN_FLIGHT, UNSENT, Exchange
from harness.load.fast import Done
from harness.load.generator import Stopper, generate
from harness.load.judge import figures_of, judge, spoiled_by
from harness.load.loops import Share
from harness.load.record import Record, settled
from harness.load.worker import checker_of
from harness.stats.grade import GRADES, LOWEST, conditions, grade, rung_of

USERS: Final = 100
"""At once, where the config does not say how many: as many as the handbook's own session has connections."""
DURATION_S: Final = 3600.0
TIMEOUT_S: Final = 30.0
AHEAD_NS: Final = 5_000_000
"""From the call to the first request."""

Result = dict[str, Any]


class ModelServingLoadTester:
    """Load-tests a model server.

    It is asked by the fast client of `harness load`, and what comes of it is judged by the same ladder of grades. What
    a closed loop cannot see (a server that stands still is asked less often meanwhile) an open one does:
    `run_open_loop`.

    Args:
        model_endpoint: the server's base, such as ``http://localhost:8080``; for json ``/predict`` is added.
        test_config: ``concurrent_users`` (100), ``test_duration`` (3600, seconds in which requests are sent),
            ``timeout`` (30, seconds for each), ``protocol`` (``json``, ``mlflow`` or ``v2``) and ``model`` (of v2),
            ``headers``, ``seed`` (1). A server that is not on this machine needs ``allow_targets``, its host in a list,
            or ``yes: True``, and is asked at most ``max_rate`` (``100/s``). Other keys are for others.

    Raises:
        InputError: the endpoint is no URL, or a value of the config cannot be used.
    """

    def __init__(self, model_endpoint: str, test_config: Mapping[str, Any] | None = None) -> None:
        self.endpoint = model_endpoint
        self.config = dict(test_config or {})
        self._speech = speech_of(self.config)
        self._url = url_of(model_endpoint, self._speech, self.config.get("model"))
        self._users = whole(self.config, "concurrent_users", None)
        self._duration_s = seconds(self.config, "test_duration", DURATION_S)
        self._timeout_s = seconds(self.config, "timeout", TIMEOUT_S)

    # --- a test ---

    async def run_load_test(self, test_payloads: Sequence[Any]) -> Result:
        """Ask each payload once, ``concurrent_users`` at a time: a closed loop, whose users wait for their answers.

        Args:
            test_payloads: rows, as objects by feature.

        Returns:
            What `analyze_load_test_results` says of the requests that were sent, and ``not_sent`` (payloads whose turn
            did not come within ``test_duration``), ``errors`` by kind, ``duration``, ``achieved_rate``,
            ``send_lag_stats`` and ``spoiled``: why the figures are not to be trusted (the machine or this program was
            too busy), or empty. They are graded all the same: lag can only have made them worse.

        Raises:
            InputError: there is no payload, one cannot be sent, or nobody consented to a target elsewhere.
        """
        count = len(test_payloads)
        users = min(self._users or USERS, max(count, 1))
        plan = self._plan(test_payloads, ClosedLoop(users, requests=count), self._duration_s)
        record, seen = await self._run(plan)
        results = [_result(each) for each in seen if each.fault not in UNSENT]
        return self.analyze_load_test_results(results) | _more(plan, record, count - len(results)) | {
            "concurrent_users": users
        }  # fmt: skip

    async def run_open_loop(
        self,
        test_payloads: Sequence[Any],
        rate: str | float,
        *,
        arrivals: str = "poisson",
        duration: float | None = None,
        warmup: float = 0.0,
    ) -> Result:
        """Ask at due times that are fixed before any answer is seen, so that a server that stands still is seen whole.

        Args:
            test_payloads: rows, drawn from for each request.
            rate: ``200/s``, or a number of requests per second.
            arrivals: ``poisson``, ``constant``, or ``gamma:CV``.
            duration: of what is measured, in seconds; default: ``test_duration``, or 30 s.
            warmup: seconds that are asked first and left out of every figure.

        Returns:
            The keys of `run_load_test`. Times run from the moment that a request was due, and count what was never
            answered with the time that it was waited for. Here ``performance_grade`` is None where the figures are
            spoiled, as in `harness load`.

        Raises:
            InputError: there is no payload, a value cannot be used, or nobody consented to a target elsewhere.
        """
        lasts = duration if duration is not None else min(self._duration_s, 30.0)
        plan = self._plan(test_payloads, open_loop(rate, arrivals), lasts, warmup)
        record, _ = await self._run(plan)
        measured = summary.measured(0, plan, record)
        judged = judge(plan, measured, record)
        counts, figures = record.total.counts, figures_of(measured)
        more = _more(plan, record, counts.not_sent)
        told = {
            "total_requests": counts.scheduled,
            "successful_requests": counts.succeeded,
            "failed_requests": counts.scheduled - counts.succeeded,
            "success_rate": figures["success_rate"] or 0.0,
        }
        if not counts.succeeded:
            return told | {"error": "All requests failed", "performance_grade": judged.grade} | more
        names = {
            "mean": "mean",
            "median": "p50",
            "min": "min",
            "max": "max",
            "p95": "p95",
            "p99": "p99",
            "p999": "p999",
        }
        stats = {name: figures.get(metric) for name, metric in names.items()}
        return told | {"response_time_stats": stats, "performance_grade": judged.grade} | more

    async def single_prediction_request(self, session: Any, payload: Any) -> Result:
        """Ask once, by an aiohttp session (or what posts as one does), outside of any test.

        Returns:
            ``success``, ``response_time`` (s), ``status_code`` (None: no answer), and ``result`` or ``error``.
        """
        now = clock.reader()
        began = now()
        status = None
        try:
            headers = {"Content-Type": "application/json", **self.config.get("headers", {})}
            async with session.post(self._url, json=payload, headers=headers) as response:
                if response.status != 200:
                    failed = {"success": False, "error": f"HTTP {response.status}", "status_code": response.status}
                    return failed | {"response_time": (now() - began) / SECOND}
                status = response.status
                result = await response.json()
        except Exception as error:  # noqa: BLE001 - whatever a session raises is this request's failure, and is told
            told = str(error) or type(error).__name__
            return {"success": False, "response_time": (now() - began) / SECOND, "error": told, "status_code": None}
        return {
            "success": True, "response_time": (now() - began) / SECOND, "result": result, "status_code": status,
        }  # fmt: skip

    # --- what it comes to ---

    def analyze_load_test_results(self, results: Sequence[Mapping[str, Any]]) -> Result:
        """What a whole load test comes to.

        Args:
            results: as `single_prediction_request` answers.

        Returns:
            ``total_requests``, ``successful_requests``, ``failed_requests``, ``success_rate`` (0..1),
            ``response_time_stats`` of the successes (``mean``, ``median``, ``min``, ``max``, ``p95``, ``p99``; in s),
            ``performance_grade`` and ``grade_conditions``. The grade is the best rung of `harness load`'s ladder of
            which every condition holds: success rate and mean, as in `calculate_performance_grade`, and p95 and p99.
            Without a success there are no times: then ``error``, and the lowest grade.
        """
        times = [float(each["response_time"]) for each in results if each["success"]]
        counted = {
            "total_requests": len(results),
            "successful_requests": len(times),
            "failed_requests": len(results) - len(times),
            "success_rate": len(times) / len(results) if results else 0.0,
        }
        if not times:
            return counted | {"error": "All requests failed", "performance_grade": LOWEST if results else None}
        stats = {
            "mean": statistics.mean(times),
            "median": statistics.median(times),
            "min": min(times),
            "max": max(times),
            "p95": self.percentile(times, 95),
            "p99": self.percentile(times, 99),
        }
        figures = {"success_rate": counted["success_rate"], **{name: stats[name] for name in ("mean", "p95", "p99")}}
        given = grade(figures) or LOWEST
        return counted | {
            "response_time_stats": stats,
            "performance_grade": given,
            "grade_conditions": _held(given, figures),
        }

    def calculate_performance_grade(self, response_times: Sequence[float], failed_count: int, total_count: int) -> str:
        """The grade by success rate and mean alone, as the handbook has it.

        `run_load_test` and `analyze_load_test_results` ask more: p95 and p99 must hold too, so that a mean does not
        hide the slow ones.

        Args:
            response_times: of the successes, in seconds; without any the grade is the lowest.
            failed_count: requests that failed.
            total_count: all of them.

        >>> tester = ModelServingLoadTester("http://localhost:8080")
        >>> tester.calculate_performance_grade([0.05] * 98 + [0.9] * 2, 0, 100)
        'A+'
        """
        if not response_times or not total_count:
            return LOWEST
        mean_s, rate = statistics.mean(response_times), (total_count - failed_count) / total_count
        held = (rung.grade for rung in GRADES if rate >= rung.success_rate and mean_s < rung.mean_s)
        return next(held, LOWEST)

    def percentile(self, data: Sequence[float], percentile: float) -> float:
        """A percentile, with straight lines between neighbours (Hyndman and Fan's type 7).

        Raises:
            InputError: there is no data, or the percentile is not from 0 to 100.

        >>> ModelServingLoadTester("http://localhost:8080").percentile([1.0, 2.0, 4.0], 75)
        3.0
        """
        if not data or not 0 <= percentile <= 100:
            raise InputError(f"a percentile of {len(data)} figures at {percentile}; it takes some, and 0 to 100")
        rising = sorted(data)
        index = (percentile / 100) * (len(rising) - 1)
        lower = int(index)
        upper = min(lower + 1, len(rising) - 1)
        weight = index - lower
        return rising[lower] * (1 - weight) + rising[upper] * weight if weight else rising[lower]

    # --- the generator ---

    def _plan(
        self, payloads: Sequence[Any], pace: ClosedLoop | OpenLoop, duration_s: float, warmup_s: float = 0.0
    ) -> LoadPlan:
        from harness.app.loadpace import check_ceiling

        warmup_ns, duration_ns = round(warmup_s * SECOND), round(duration_s * SECOND)
        if warmup_ns < 0 or duration_ns < 1:
            raise InputError(f"a test of {duration_s} s after {warmup_s} s of warm-up; it lasts longer than 0 s")
        if not self._consented():
            check_ceiling(pace, warmup_ns + duration_ns, self.config.get("max_rate"))
        most = pace.users if isinstance(pace, ClosedLoop) else 512
        timeout_ns = round(self._timeout_s * SECOND)
        plan = LoadPlan(
            targets=(Target(consent.shown(self._url), self._url),),
            pace=pace,
            payload=Payload(bodies_of(payloads, self._speech), order=order_of(pace), source="the caller's payloads"),
            duration_ns=duration_ns,
            warmup_ns=warmup_ns,
            seed=whole(self.config, "seed", 1) or 1,
            speech=self._speech,
            # An answer is a success if it is JSON, whatever it says.
            checks=AnswerChecks(statuses=frozenset({200}), schema="{}"),
            limits=Limits(max_connections=most, max_in_flight=most, timeout_ns=timeout_ns),
        )
        headers = tuple((str(name), str(value)) for name, value in self.config.get("headers", {}).items())
        return replace(plan, transport=replace(plan.transport, headers=headers))

    def _consented(self) -> bool:
        """Whether the target is this machine's; InputError where it is not, and nobody consented."""
        allowed, yes = self.config.get("allow_targets", ()), bool(self.config.get("yes"))
        try:
            return consent.check_target(self._url, tuple(allowed), yes)
        except InputError as error:
            raise InputError(f"{error}; here: test_config['allow_targets'] = [HOST], or ['yes'] = True") from None

    async def _run(self, plan: LoadPlan) -> tuple[Record, list[Exchange]]:
        seen = _Seen(keep=isinstance(plan.pace, ClosedLoop))
        start_ns = clock.reader()() + AHEAD_NS
        checker = checker_of(plan)
        told = await generate(plan, Share(), start_ns, lambda _: None, Stopper(), checker=checker, make=seen.client)
        return settled(told), seen.ended


@dataclass(slots=True)
class _Seen:
    """The exchanges of a closed loop, each as it ended: their times are told exactly, and not by bucket."""

    keep: bool
    ended: list[Exchange] = field(default_factory=list)

    def client(self, plan: LoadPlan, target: Target, address: Address, most: int, done: Done, now: Any) -> Client:
        """The client that the plan asks for, whose exchanges are kept when they have come to their end."""

        def over(exchange: Exchange) -> None:
            kept = copy.copy(exchange) if self.keep else None
            done(exchange)  # which says whether it failed; if not, its user has used it again
            if kept is not None:
                kept.answer = None
                if exchange.number == kept.number:
                    kept.fault = exchange.fault
                self.ended.append(kept)

        return make_client(plan, target, address, most, over, now)


def _result(exchange: Exchange) -> Result:
    """As `ModelServingLoadTester.single_prediction_request` answers, without the answer itself."""
    took = {"response_time": (exchange.done_ns - exchange.due_ns) / SECOND, "status_code": exchange.status or None}
    if not exchange.fault:
        return {"success": True, **took}
    answered = exchange.fault.startswith("http_")
    return {"success": False, **took, "error": f"HTTP {exchange.status}" if answered else exchange.fault}


def _more(plan: LoadPlan, record: Record, not_sent: int) -> Result:
    """What the handbook's own tester does not tell."""
    counts, lag = record.total.counts, record.total.lag.spread(buckets=False).figures
    errors = dict(counts.errors) | dict(counts.unsent)
    if counts.in_flight:
        errors[IN_FLIGHT] = counts.in_flight
    lasted_s = max(record.last_ns - plan.warmup_ns, 1) / SECOND
    return {
        "errors": errors,
        "not_sent": not_sent,
        "duration": lasted_s,
        "achieved_rate": counts.succeeded / lasted_s,
        "send_lag_stats": {name: lag[name] for name in ("p50", "p99", "max")},
        "spoiled": spoiled_by(plan, record),
    }


def _held(given: str, figures: Mapping[str, float | None]) -> Result:
    """Each condition of the next better grade: what it asks, and whether it holds; of the best, its own."""
    order = [rung.grade for rung in GRADES] + [LOWEST]
    rung = rung_of(order[max(order.index(given) - 1, 0)])
    assert rung is not None  # the lowest has a better one
    return {
        "grade": rung.grade,
        **{
            each.metric: {"actual": each.value, "bound": f"{each.op} {each.bound:g}", "met": each.met}
            for each in conditions(rung, figures)
        },
    }
