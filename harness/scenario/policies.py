"""From the rollout, and what comes after it, as checked, to domain values."""

from harness.domain.analysis import AnalysisPolicy, Experiment, NoData
from harness.domain.features import FeatureSet
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm, RetrainPlan, Window
from harness.domain.model import TrainPlan
from harness.domain.rollout import (
    Analyze,
    Approve,
    HeaderRoute,
    Pause,
    RolloutPolicy,
    SetMirror,
    SetRoute,
    SetScale,
    SetWeight,
    Smoke,
    Step,
)
from harness.scenario.inputs import given
from harness.scenario.lifecycle import MonitoringInput, RetrainInput
from harness.scenario.rollouts import AnalyzeInput, ApproveInput, LooksInput, PreviewInput, RolloutInput, StepInput
from harness.strategies.ab_test import ab_test_steps
from harness.strategies.blue_green import blue_green_steps
from harness.strategies.shadow import shadow_steps


def rollout_of(rollout: RolloutInput) -> RolloutPolicy:
    """The policy, its steps made of what the strategy is given."""
    return RolloutPolicy(
        strategy=rollout.strategy,
        steps=_steps(rollout),
        analysis=_looks(rollout.analysis) if rollout.analysis else None,
        ready_within_ns=rollout.ready_within,
        analysis_from=rollout.analysis.from_step if rollout.analysis else 0,
        by_replicas=rollout.by == "replicas",
        max_surge=rollout.max_surge,
        max_unavailable=rollout.max_unavailable,
        min_ready_ns=rollout.min_ready or 0,
        batch_pause_ns=rollout.batch_pause or 0,
        baseline=rollout.baseline,
        sticky=rollout.sticky or rollout.strategy == "ab_test",
        stepwise_ns=rollout.stepwise,
        promote=rollout.promote,
        retire_after_ns=rollout.keep_for or 0,
        settings=rollout.settings,
    )


def _steps(rollout: RolloutInput) -> tuple[Step, ...]:
    match rollout.strategy:
        case "blue_green":
            preview = rollout.preview or PreviewInput()
            return blue_green_steps(
                preview=preview.replicas,
                smoke=preview.smoke or 0,
                before=_inline(preview.analyze) if preview.analyze else None,
                wait_ns=preview.wait or 0,
                approve=_approve(preview.approve) if preview.approve else None,
                after=_inline(rollout.after) if rollout.after else None,
            )
        case "shadow":
            approve = _approve(rollout.approve) if rollout.approve else None
            return shadow_steps(given(rollout.mirror), given(rollout.for_), approve)
        case "ab_test":
            what = Experiment(
                primary=given(rollout.primary),
                least_effect=given(rollout.least_effect).value,
                level=rollout.level,
                power=rollout.power,
            )
            return ab_test_steps(rollout.share, what, rollout.every, given(rollout.at_most))
        case _:
            return tuple(_step(step) for step in rollout.steps or ())


def _step(step: StepInput) -> Step:
    if step.weight is not None:
        return SetWeight(step.weight)
    if step.pause is not None:
        return Pause(step.pause if isinstance(step.pause, int) else None)
    if step.scale is not None:
        return SetScale(step.scale if isinstance(step.scale, int) else None)
    if step.route is not None:
        route = step.route
        header = HeaderRoute(route.name, route.header, given(route.value)) if route.header is not None else None
        return SetRoute(route.name, header)
    if step.mirror is not None:
        return SetMirror(step.mirror)
    if step.analyze is not None:
        return Analyze(*_inline(step.analyze))
    return _approve(step.approve) if step.approve is not None else Smoke(given(step.smoke))


def _approve(approve: ApproveInput) -> Approve:
    return Approve(approve.within, tuple(approve.criteria))


def _inline(analyze: AnalyzeInput) -> tuple[AnalysisPolicy, int]:
    return _looks(analyze), analyze.looks


def _looks(looks: LooksInput) -> AnalysisPolicy:
    return AnalysisPolicy(
        rules=tuple(looks.rules),
        every_ns=looks.every,
        window_ns=looks.window or looks.every,
        min_requests=looks.min_requests,
        failure_limit=looks.failure_limit,
        error_limit=looks.error_limit,
        no_data=NoData(looks.no_data),
        inconclusive_limit=looks.inconclusive_limit,
    )


def aftercare_of(monitoring: MonitoringInput, features: FeatureSet | None = None) -> Aftercare:
    """What happens after a promotion; a challenger sees of its data what the models before it saw."""
    return Aftercare(
        monitors=tuple(
            Monitor(monitor.name, _looks(monitor), OnAlarm(monitor.on_alarm)) for monitor in monitoring.monitors
        ),
        for_ns=monitoring.for_,
        cool_down_ns=monitoring.cool_down,
        keep_previous_ns=monitoring.keep_previous,
        retrain=_retrain(monitoring.retrain, features) if monitoring.retrain else None,
    )


def _retrain(retrain: RetrainInput, features: FeatureSet | None) -> RetrainPlan:
    return RetrainPlan(
        source=TrainPlan(retrain.algorithm, retrain.params or {}, retrain.duration, features),
        window=Window(retrain.window),
        rows=retrain.rows,
        at_most=retrain.at_most,
        apart_ns=retrain.apart,
        gates=tuple(retrain.gates),
    )
