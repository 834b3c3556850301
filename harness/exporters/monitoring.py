"""Monitoring set-up: a model's endpoints and rules, as files that a Prometheus is started with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.conditions import RuleError, parse
from harness.analysis.vocabulary import Scope, Standing
from harness.domain.analysis import AnalysisPolicy
from harness.domain.lifecycle import Monitor
from harness.domain.model import Role
from harness.errors import InputError
from harness.exporters import prometheus
from harness.exporters.prometheus import CANARY, Watched

SCRAPE_FILE = "prometheus-scrape.yml"


@dataclass(frozen=True, slots=True)
class MonitoringConfig:
    """What a Prometheus needs to watch a model."""

    scrape: str
    """YAML, for `prometheus --config.file`."""
    alerts: str
    """YAML, which the configuration names."""
    rules: tuple[str, ...]
    """The rules that alert."""

    def files(self) -> dict[str, str]:
        """By name."""
        return {SCRAPE_FILE: self.scrape, prometheus.ALERTS_FILE: self.alerts}


class MonitoringSetup:
    """Sets a model's monitoring up.

    >>> made = MonitoringSetup(["p95 <= 250ms"]).configure(model="churn", endpoints=["http://10.0.0.7:8080/predict"])
    >>> "10.0.0.7:8080" in made.scrape, "p95" in made.alerts
    (True, True)

    Args:
        policies: what the model is watched by: rules as text, each looked at every minute, or monitors.

    Raises:
        InputError: a rule cannot be read.
    """

    def __init__(self, policies: Sequence[Monitor | str] = ()) -> None:
        texts = [policy for policy in policies if isinstance(policy, str)]
        try:
            rules = tuple(parse(text, Scope(Standing.ANALYSIS, mirrored=True)) for text in texts)
        except RuleError as error:
            raise InputError(f"a rule of the monitoring cannot be read: {error}") from error
        monitors = [policy for policy in policies if isinstance(policy, Monitor)]
        self.policies = (*([Monitor("monitoring", AnalysisPolicy(rules))] if rules else []), *monitors)

    def configure(
        self,
        *,
        model: str,
        endpoints: Sequence[str] | Mapping[str, Sequence[str]] = (),
        watched: Watched | None = None,
    ) -> MonitoringConfig:
        """The files for a model.

        Args:
            model: its name.
            endpoints: where it answers: addresses, or addresses by role (``stable``, ``candidate``); none: Prometheus
                reads them from `targets.json`, beside the configuration.
            watched: who is watched, and compared with whom; None: a candidate beside stable where there are
                endpoints of both, else what is stable beside the one before.

        Raises:
            InputError: an endpoint is no address.
        """
        by_role = endpoints if isinstance(endpoints, Mapping) else {Role.STABLE.value: endpoints}
        by_role = {str(role): tuple(urls) for role, urls in by_role.items()}
        if watched is None:
            watched = CANARY if by_role.get(Role.CANDIDATE.value) else Watched()
        return MonitoringConfig(
            prometheus.scrape_config(model, by_role, self.policies),
            prometheus.alert_rules(model, self.policies, watched),
            prometheus.alerts(self.policies),
        )
