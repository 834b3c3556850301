"""What a model can be judged by, and which way each of it is better; light enough to be asked when a file is read."""

from harness.analysis.vocabulary import METRICS, Better, Kind


def quality_metrics(*, classification: bool) -> tuple[str, ...]:
    """What a model of a task can be judged by.

    >>> quality_metrics(classification=False)
    ('rmse', 'mae', 'r2')
    """
    kind = Kind.CLASSIFICATION if classification else Kind.REGRESSION
    return tuple(name for name, metric in METRICS.items() if metric.kind is kind)


def higher(metric: str) -> bool:
    """Whether more of it is better."""
    return METRICS[metric].better is Better.HIGHER
