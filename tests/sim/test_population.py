"""The model in the loop: levels of drift, answers, and what is told from counts."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn import metrics
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from harness.domain.fault import Errors, Fault, LabelDrift, Missing, Scale, Shift, Swap
from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.domain.units import HOUR, MINUTE
from harness.errors import ArtifactError, InputError
from harness.protocols import Population
from harness.sim.population import MOST_BINS, MOST_LEVELS, Answers, Levels

BOTH, CANDIDATE, STABLE = frozenset(ARMS), frozenset({Role.CANDIDATE}), frozenset({Role.STABLE})
TIMES = st.integers(0, 3 * HOUR // MINUTE).map(lambda minutes: minutes * MINUTE)


def fault(effect, on=BOTH, at_ns=10 * MINUTE, ramp_ns=0, until_ns=None):
    return Fault("", on, effect, at_ns, ramp_ns, until_ns)


# --- levels -----------------------------------------------------------------------------------------------------------


def test_without_drift_there_is_one_level():
    levels = Levels([fault(Errors(0.5))], HOUR)
    assert levels.conditions == ((),)
    assert levels.breakpoints(Role.STABLE) == levels.breakpoints(Role.CANDIDATE) == ((0, 0),)


def test_a_sudden_drift_is_a_second_level_until_it_ends():
    levels = Levels([fault(Shift("x", 1.0), CANDIDATE, until_ns=30 * MINUTE)], HOUR)
    assert levels.conditions == ((0.0,), (1.0,))
    assert levels.breakpoints(Role.STABLE) == ((0, 0),)
    assert levels.breakpoints(Role.CANDIDATE) == ((0, 0), (10 * MINUTE, 1), (30 * MINUTE, 0))


def test_a_drift_from_the_start_leaves_level_zero_to_the_undrifted_data():
    levels = Levels([fault(Shift("x", 1.0), at_ns=0)], HOUR)
    assert levels.breakpoints(Role.STABLE) == ((0, 1),)
    assert levels.conditions == ((0.0,), (1.0,))


def test_a_ramp_is_cut_into_as_many_steps_as_there_are_levels():
    levels = Levels([fault(Shift("x", 1.0), ramp_ns=14 * MINUTE)], HOUR)
    strengths = [levels.conditions[level][0] for _, level in levels.breakpoints(Role.STABLE)]
    assert len(levels.conditions) == MOST_LEVELS
    assert strengths == sorted(strengths)
    assert [at_ns // MINUTE for at_ns, _ in levels.breakpoints(Role.STABLE)] == [0, *range(10, 25)]
    assert np.mean(strengths[1:-1]) == pytest.approx(0.5)


def test_arms_under_the_same_drift_share_levels():
    levels = Levels([fault(Shift("x", 1.0), ramp_ns=HOUR), fault(Missing("c", 0.5), CANDIDATE)], 3 * HOUR)
    assert levels.breakpoints(Role.STABLE) != levels.breakpoints(Role.CANDIDATE)
    assert set(levels.conditions) >= {(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)}


def test_what_begins_after_the_horizon_takes_no_level():
    levels = Levels([fault(Shift("x", 1.0), at_ns=2 * HOUR), fault(Shift("x", 1.0), ramp_ns=4 * HOUR)], HOUR)
    assert all(condition[0] == 0.0 for condition in levels.conditions)
    assert levels.breakpoints(Role.STABLE)[-1][0] < HOUR


def test_too_many_separate_drifts_are_told():
    many = [fault(Shift("x", 1.0), at_ns=minute * MINUTE) for minute in range(1, 20)]
    with pytest.raises(InputError, match="into 20 different conditions, and at most 16 are simulated"):
        Levels(many, HOUR)
    assert len(Levels(many[:15], HOUR).conditions) == MOST_LEVELS


@st.composite
def drifts(draw):
    at_ns, ramp_ns = draw(TIMES), draw(st.one_of(st.just(0), TIMES))
    until_ns = draw(st.one_of(st.none(), TIMES.map(lambda more: at_ns + MINUTE + more)))
    return fault(Shift("x", 1.0), draw(st.sampled_from([BOTH, CANDIDATE, STABLE])), at_ns, ramp_ns, until_ns)


@given(st.lists(drifts(), max_size=5))
def test_levels_follow_the_drifts(faults):
    levels = Levels(faults, 3 * HOUR)
    assert levels.conditions[0] == (0.0,) * len(faults)
    assert len(set(levels.conditions)) == len(levels.conditions)
    for role in ARMS:
        course = levels.breakpoints(role)
        assert len({0, *(level for _, level in course)}) <= MOST_LEVELS
        assert course[0][0] == 0
        assert all(before[0] < after[0] and before[1] != after[1] for before, after in itertools.pairwise(course))
        for minute in range(0, 180, 7):
            condition = levels.conditions[levels.at(role, minute * MINUTE)]
            for strength, drift in zip(condition, faults, strict=True):
                expected = drift.strength(minute * MINUTE) if role in drift.on else 0.0
                if not drift.ramp_ns or expected == 0.0:
                    assert strength == pytest.approx(expected, abs=0.5 if drift.ramp_ns else 0)
                assert abs(strength - expected) <= 0.51


# --- answers ----------------------------------------------------------------------------------------------------------

DRAWS = np.random.Generator(np.random.Philox(9))
COUNT = 400
ROWS = pd.DataFrame(
    {
        "x": DRAWS.normal(10, 3, size=COUNT),
        "c": DRAWS.choice(["a", "b", "c"], size=COUNT),
        "z": DRAWS.normal(size=COUNT),
    }
)
SIGNAL = (ROWS["x"] - 10) / 3 + (ROWS["c"] == "a") + DRAWS.normal(0, 0.4, size=COUNT)
LABELS = (SIGNAL > 0.3).to_numpy().astype(np.int64)
POPULATION = Population(ROWS, LABELS)
VALUES = Population(ROWS, SIGNAL.to_numpy())
LEVELS = Levels([fault(Shift("x", 2.0)), fault(LabelDrift(0.3), at_ns=20 * MINUTE)], HOUR)


def model(role, estimator, classes=("No", "Yes"), features=("x", "c", "z")):
    task = Task.CLASSIFICATION if classes else Task.REGRESSION
    return TrainedModel("m", role, Source.TRAINED, "", {}, estimator, task, features, classes, "sha256:0")


def encoded(estimator, target, features=("x", "c", "z")):
    from sklearn.compose import make_column_transformer

    numbers = [name for name in features if name != "c"]
    made = make_pipeline(
        make_column_transformer(
            (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), [n for n in features if n == "c"])
        ),
        estimator,
    )
    return made.fit(ROWS[list(features)], target)


NAMES = np.array(["No", "Yes"])[LABELS]
CLASSIFIERS = {
    Role.STABLE: model(Role.STABLE, encoded(LogisticRegression(), NAMES)),
    Role.CANDIDATE: model(Role.CANDIDATE, encoded(DecisionTreeClassifier(max_depth=3, random_state=1), NAMES)),
}
REGRESSORS = {
    Role.STABLE: model(Role.STABLE, encoded(LinearRegression(), VALUES.target), ()),
    Role.CANDIDATE: model(
        Role.CANDIDATE, encoded(DecisionTreeRegressor(max_depth=3, random_state=1), VALUES.target), ()
    ),
}
ANSWERS = Answers(CLASSIFIERS, POPULATION, LEVELS, seed=1)
REGRESSED = Answers(REGRESSORS, VALUES, LEVELS, seed=1)
COUNTS = st.dictionaries(
    st.sampled_from(range(len(LEVELS.conditions))),
    st.integers(0, 2**32).map(lambda s: np.random.Generator(np.random.Philox(s)).poisson(0.3, size=COUNT)),
    min_size=1,
)


def repeated(values_at, counts):
    return np.concatenate([np.repeat(values_at(level), number) for level, number in sorted(counts.items())])


def test_answers_are_the_models_own():
    shifted = ROWS.assign(x=ROWS["x"] + 2.0 * ROWS["x"].std(ddof=0))
    for role, trained in CLASSIFIERS.items():
        for level, rows in ((0, ROWS), (1, shifted)):
            assert ANSWERS.scores(role, level) == pytest.approx(trained.estimator.predict_proba(rows)[:, 1], abs=1e-12)
            assert (ANSWERS.predicted(role, level) == (trained.estimator.predict(rows) == "Yes")).all()
    assert (REGRESSED.scores(Role.STABLE, 1) == REGRESSORS[Role.STABLE].estimator.predict(shifted)).all()


def test_true_answers_change_under_label_drift_only():
    assert [int((ANSWERS.truth(level) != LABELS).sum()) for level in range(3)] == [0, 0, 120]
    assert ANSWERS.answered(Role.STABLE, 1) is ANSWERS.answered(Role.STABLE, 2)  # the model sees the same rows
    moved = REGRESSED.truth(2) - VALUES.target
    assert np.unique(moved.round(9)).tolist() == [0.0, round(float(VALUES.target.std()), 9)]


@settings(max_examples=50)
@given(COUNTS, st.sampled_from(ARMS))
def test_quality_is_scikit_learns_on_repeated_rows(counts, role):
    truth = repeated(ANSWERS.truth, counts)
    if not 0 < truth.sum() < len(truth):
        return
    predicted = repeated(lambda level: ANSWERS.predicted(role, level), counts)
    scores = repeated(lambda level: ANSWERS.scores(role, level), counts)
    found = ANSWERS.quality(role, counts)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, predicted))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, scores, labels=[0, 1]))


@settings(max_examples=50)
@given(COUNTS, st.sampled_from(ARMS))
def test_errors_of_regression_are_scikit_learns_on_repeated_rows(counts, role):
    truth = repeated(REGRESSED.truth, counts)
    if len(truth) < 2:
        return
    predicted = repeated(lambda level: REGRESSED.predicted(role, level), counts)
    found = REGRESSED.quality(role, counts)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, predicted))


def test_nothing_asked_is_nothing_measured():
    none = {0: np.zeros(COUNT, dtype=np.int64)}
    assert ANSWERS.quality(Role.STABLE, none) == ANSWERS.quality(Role.STABLE, {}) == {}
    assert ANSWERS.bad(Role.CANDIDATE, none) == 0
    assert ANSWERS.drift_score(Role.STABLE, none) == ANSWERS.prediction_drift(Role.STABLE, {}) == 0.0


@given(COUNTS)
def test_bad_answers_are_wrong_where_stables_would_have_been_right(counts):
    truth = repeated(ANSWERS.truth, counts)
    stable, candidate = (repeated(lambda level, r=role: ANSWERS.predicted(r, level), counts) for role in ARMS)
    assert ANSWERS.bad(Role.CANDIDATE, counts) == ((candidate != truth) & (stable == truth)).sum()
    assert ANSWERS.bad(Role.STABLE, counts) == 0


@given(COUNTS)
def test_bad_values_miss_by_far_more_than_stables(counts):
    truth = repeated(REGRESSED.truth, counts)
    stable, candidate = (
        np.abs(repeated(lambda lv, r=role: REGRESSED.predicted(r, lv), counts) - truth) for role in ARMS
    )
    usual = metrics.mean_absolute_error(VALUES.target, REGRESSED.predicted(Role.STABLE, 0))
    assert REGRESSED.bad(Role.CANDIDATE, counts) == ((candidate > 2 * stable) & (candidate > usual)).sum()


def test_drift_is_the_distance_of_the_column_that_moved_most():
    many = {1: np.full(COUNT, 10_000)}
    score = ANSWERS.drift_score(Role.STABLE, many)
    edges = np.quantile(ROWS["x"], np.linspace(0.1, 0.9, 9), method="inverted_cdf")
    bins = [np.searchsorted(edges, x, side="right") for x in (ROWS["x"], ROWS["x"] + 2 * ROWS["x"].std(ddof=0))]
    reference, live = (np.bincount(places, minlength=10) for places in bins)
    assert score == pytest.approx(jensenshannon(live, reference, base=2), abs=1e-4)
    assert score > 0.6
    assert ANSWERS.prediction_drift(Role.STABLE, many) > 0.3
    assert ANSWERS.drift_score(Role.STABLE, {0: np.full(COUNT, 10_000)}) == 0.0


@given(COUNTS)
def test_each_feature_is_told_as_it_was_asked(counts):
    """Counted once more by pandas, value by value and interval by interval."""
    told = ANSWERS.inputs({Role.STABLE: counts, Role.CANDIDATE: {}})
    assert {column.name for column in told} == set(ROWS)
    assert [column.drift.get(Role.STABLE, 0) for column in told] == sorted(
        (column.drift.get(Role.STABLE, 0) for column in told), reverse=True
    )
    for column in told:
        assert sum(column.reference) == pytest.approx(1)
        assert Role.CANDIDATE not in column.shares
    asked = [number for number in counts.values() if number.sum()]
    if not asked:
        return
    assert told[0].drift[Role.STABLE] == ANSWERS.drift_score(Role.STABLE, counts)
    words = next(column for column in told if column.name == "c")
    expected = pd.Series(repeated(lambda _: ROWS["c"].to_numpy(), counts)).value_counts(normalize=True)
    found = dict(zip(words.bins, words.shares[Role.STABLE], strict=True))
    assert {word: share for word, share in found.items() if share} == pytest.approx(expected.to_dict())


@given(COUNTS)
def test_each_model_s_answers_are_told_beside_its_own_to_the_held_out_rows(counts):
    """Counted once more by numpy, over the deciles of what that model says of the undrifted rows."""
    told = ANSWERS.predictions({Role.CANDIDATE: counts, Role.STABLE: {}})
    asked = sum(int(number.sum()) for number in counts.values())
    assert set(told) == ({Role.CANDIDATE} if asked else set())
    for role, column in told.items():
        usual = ANSWERS.scores(role, 0)
        edges = np.unique(np.quantile(usual, np.linspace(0.1, 0.9, 9), method="inverted_cdf"))
        given = repeated(lambda level, role=role: ANSWERS.scores(role, level), counts)
        reference, live = (
            np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
            for scores in (usual, given)
        )
        there = (reference > 0) | (live > 0)
        assert column.reference == pytest.approx(tuple(reference[there] / len(usual)))
        assert column.shares == {role: pytest.approx(tuple(live[there] / asked))}
        assert column.drift == {role: ANSWERS.prediction_drift(role, counts)}


@pytest.mark.parametrize(
    ("answers", "name"), [(ANSWERS, "probability of Yes"), (REGRESSED, "predicted value")], ids=["class", "value"]
)
def test_what_a_score_is_is_named(answers, name):
    (column,) = answers.predictions({Role.STABLE: {0: np.ones(COUNT, dtype=np.int64)}}).values()
    assert column.name == name
    assert column.drift == {Role.STABLE: 0.0}


def test_the_bins_of_a_number_are_intervals_of_the_held_out_rows():
    told = ANSWERS.inputs({role: {0: np.ones(COUNT, dtype=np.int64)} for role in ARMS})
    column = next(column for column in told if column.name == "x")
    edges = np.quantile(ROWS["x"], np.linspace(0.1, 0.9, 9), method="inverted_cdf")
    assert column.bins[0] == f"below {edges[0]:.4g}"
    assert column.bins[-1] == f"{edges[-1]:.4g} and more"
    cut = pd.cut(ROWS["x"], [-np.inf, *edges, np.inf], right=False).value_counts(sort=False, normalize=True)
    assert column.reference == pytest.approx(tuple(cut))
    assert column.shares[Role.STABLE] == column.shares[Role.CANDIDATE] == pytest.approx(column.reference)
    assert column.drift == {Role.STABLE: 0.0, Role.CANDIDATE: 0.0}


def test_of_many_categories_the_usual_ones_are_told_apart():
    words = [f"w{number:02}" for number in range(40) for _ in range(number + 1)]
    rows = pd.DataFrame({"c": words, "x": np.arange(len(words), dtype=float)})
    population = Population(rows, np.arange(len(words)) % 2)
    models = {role: model(role, encoded(LogisticRegression(), NAMES, ("x",)), features=("x",)) for role in ARMS}
    answers = Answers(models, population, Levels([], HOUR), seed=1)
    told = answers.inputs({Role.STABLE: {0: np.ones(len(words), dtype=np.int64)}})
    column = next(column for column in told if column.name == "c")
    assert len(column.bins) == MOST_BINS + 1
    assert column.bins[-1] == "28 others"
    assert {"w39", "w38", "w37"} <= set(column.bins)
    assert sum(column.reference) == pytest.approx(1)
    assert column.shares[Role.STABLE] == pytest.approx(column.reference)


def test_a_model_is_judged_by_its_own_features_only():
    blind = {
        **CLASSIFIERS,
        Role.CANDIDATE: model(Role.CANDIDATE, encoded(LogisticRegression(), NAMES, ("c", "z")), features=("c", "z")),
    }
    answers = Answers(blind, POPULATION, LEVELS, seed=1)
    assert answers.drift_score(Role.CANDIDATE, {1: np.full(COUNT, 100)}) == 0.0
    assert answers.drift_score(Role.STABLE, {1: np.full(COUNT, 100)}) > 0.6


def test_chance_alone_looks_like_little_drift():
    draws = np.random.Generator(np.random.Philox(3))
    asked = {0: np.bincount(draws.integers(0, COUNT, size=2000), minlength=COUNT)}
    assert ANSWERS.drift_score(Role.STABLE, asked) < 0.06
    assert ANSWERS.prediction_drift(Role.STABLE, asked) < 0.06


@pytest.mark.parametrize(
    ("effect", "least"),
    [(Missing("c", 1.0), 0.99), (Swap("c", "a", "b"), 0.0), (Scale("x", 100.0), 0.8), (Missing("x", 0.3), 0.3)],
)
def test_every_drift_reaches_answers_and_scores(effect, least):
    answers = Answers.build(CLASSIFIERS, POPULATION, [fault(effect)], seed=1, horizon_ns=HOUR)
    asked = {1: np.ones(COUNT, dtype=np.int64)}
    assert answers.drift_score(Role.STABLE, asked) >= least
    if effect.column == "c":
        assert (answers.scores(Role.STABLE, 1) != answers.scores(Role.STABLE, 0)).any()


def test_rows_reached_do_not_depend_on_other_drifts_or_on_numbers():
    def reached(share, *others):
        answers = Answers.build(CLASSIFIERS, POPULATION, [*others, fault(LabelDrift(share))], seed=1, horizon_ns=HOUR)
        return set(np.flatnonzero(answers.truth(len(answers.levels.conditions) - 1) != LABELS))

    assert reached(0.1) < reached(0.2)
    assert reached(0.1, fault(Shift("x", 1.0))) == reached(0.1)


def test_without_probabilities_scores_are_decisions():
    decided = {**CLASSIFIERS, Role.CANDIDATE: model(Role.CANDIDATE, encoded(RidgeClassifier(), NAMES))}
    answers = Answers(decided, POPULATION, LEVELS, seed=1)
    found = answers.quality(Role.CANDIDATE, {0: np.ones(COUNT, dtype=np.int64)})
    assert "log_loss" not in found
    assert found["auc"] == pytest.approx(
        metrics.roc_auc_score(LABELS, decided[Role.CANDIDATE].estimator.decision_function(ROWS))
    )


def test_the_positive_class_may_come_first():
    turned = {role: model(role, trained.estimator, ("Yes", "No")) for role, trained in CLASSIFIERS.items()}
    answers = Answers(turned, Population(ROWS, 1 - LABELS), LEVELS, seed=1)
    assert (
        answers.quality(Role.STABLE, {0: np.ones(COUNT, dtype=np.int64)})["accuracy"]
        == (ANSWERS.quality(Role.STABLE, {0: np.ones(COUNT, dtype=np.int64)})["accuracy"])
    )
    assert answers.scores(Role.STABLE, 0) == pytest.approx(1 - ANSWERS.scores(Role.STABLE, 0))


def test_a_tuned_threshold_is_kept():
    strict = FixedThresholdClassifier(encoded(LogisticRegression(), NAMES), threshold=0.9, pos_label="Yes").fit(
        ROWS, NAMES
    )
    answers = Answers({**CLASSIFIERS, Role.CANDIDATE: model(Role.CANDIDATE, strict)}, POPULATION, LEVELS, seed=1)
    assert (answers.predicted(Role.CANDIDATE, 0) == (answers.scores(Role.CANDIDATE, 0) >= 0.9)).all()


def test_a_drift_that_does_not_fit_the_rows_is_told():
    with pytest.raises(InputError, match="no feature is called 'y'"):
        Answers.build(CLASSIFIERS, POPULATION, [fault(Shift("y", 1.0))], seed=1, horizon_ns=HOUR)


def test_a_model_that_cannot_answer_drifted_rows_is_told():
    bare = {role: model(role, LogisticRegression().fit(ROWS[["x"]], NAMES), features=("x",)) for role in ARMS}
    answers = Answers.build(bare, POPULATION, [fault(Missing("x", 0.5))], seed=1, horizon_ns=HOUR)
    with pytest.raises(ArtifactError, match=r"the stable model m cannot answer rows under drift.*NaN"):
        answers.scores(Role.STABLE, 1)
