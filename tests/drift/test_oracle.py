"""Figures that scipy 1.17.1, Evidently 0.7.23 and alibi-detect 0.13 computed, each reproduced by its stated convention.

`oracle.json` holds the values, and how each input is drawn. Mann-Whitney, Anderson-Darling, Student's t, energy and
total variation are no figures of this project and are left out by name.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.drift import contingency, samples, shares

ORACLE = json.loads((Path(__file__).parent / "oracle.json").read_text())
ABSENT = {"scipy_mannwhitney_p", "evidently_anderson", "evidently_t_test", "evidently_ed"}
ABSENT_OF_CATEGORIES = {"evidently_TVD", "evidently_g_test"}
INPUT = {"ref_sum", "cur_sum", "ref_counts", "cur_counts"}


def drawn(name):
    draws = np.random.default_rng(
        {"normal_shift": 101, "normal_same": 102, "lognormal_scale": 103, "small_exp": 104}[name]
    )
    match name:
        case "normal_shift":
            return draws.normal(0, 1, 10000), draws.normal(0.2, 1, 8000)
        case "normal_same":
            return draws.normal(0, 1, 10000), draws.normal(0, 1, 10000)
        case "lognormal_scale":
            return draws.lognormal(0, 1, 5000), draws.lognormal(0, 1.3, 5000)
        case "small_exp":
            return draws.exponential(1, 300), draws.exponential(1.5, 250)


def drawn_categories():
    draws = np.random.default_rng(105)
    reference = draws.choice(["a", "b", "c", "d"], 5000, p=[0.4, 0.3, 0.2, 0.1])
    return reference, draws.choice(["a", "b", "c", "d"], 4000, p=[0.35, 0.3, 0.2, 0.15])


def evidently_cells(reference, current):
    return shares.histograms(reference, current, "evidently")


def alibi(reference, current):
    """alibi-detect rounds to float32 and takes the asymptotic p-value."""
    return samples.kolmogorov_smirnov(reference, current, "asymptotic")


NUMBERS = {
    "scipy_ks_stat": lambda r, c: samples.kolmogorov_smirnov(r, c)[0],
    "scipy_ks_p": lambda r, c: samples.kolmogorov_smirnov(r, c)[1],
    "scipy_wasserstein": samples.wasserstein,
    "psi_ref_deciles_eps1e-4(own formula)": lambda r, c: shares.psi(*shares.histograms(r, c)),
    "evidently_psi": lambda r, c: shares.psi(*evidently_cells(r, c), "evidently"),
    "evidently_jensenshannon": lambda r, c: shares.distance(*evidently_cells(r, c), "evidently"),
    "evidently_wasserstein": samples.wasserstein_scaled,
    "evidently_ks": lambda r, c: samples.kolmogorov_smirnov(r, c)[1],
    "evidently_kl_div": lambda r, c: shares.kullback_leibler(*evidently_cells(r, c)),
    "evidently_hellinger": lambda r, c: shares.hellinger(*evidently_cells(r, c)),
    "evidently_cramer_von_mises": lambda r, c: samples.cramer_von_mises(r, c)[1],
    "alibi_ks": alibi,
}
CATEGORIES = {
    "scipy_chi2_contingency": lambda r, c: [(f := contingency.chi_square(r, c)).statistic, f.p_value],
    "scipy_jensenshannon_base2": shares.distance,
    "scipy_jensenshannon_e": lambda r, c: shares.distance(r, c, "evidently"),
    "evidently_chisquare": lambda r, c: contingency.chi_square_of_exact_reference(r, c).p_value,
    "evidently_psi": lambda r, c: shares.psi(r, c, "evidently"),
    "evidently_jensenshannon": lambda r, c: shares.distance(r, c, "evidently"),
    "evidently_kl_div": shares.kullback_leibler,
}
CASES = [
    (case, figure) for case, values in ORACLE["numeric"].items() for figure in values if figure not in INPUT | ABSENT
]


@pytest.mark.parametrize(("case", "figure"), CASES)
def test_figures_of_numbers(case, figure):
    recorded = ORACLE["numeric"][case][figure]
    loose = {"rel": 1e-5} if figure == "alibi_ks" else {"rel": 1e-9, "abs": 1e-12}
    assert NUMBERS[figure](*drawn(case)) == pytest.approx(recorded, **loose)


@pytest.mark.parametrize("figure", sorted(ORACLE["cat"].keys() - INPUT - ABSENT_OF_CATEGORIES))
def test_figures_of_categories(figure):
    words, first, second = shares.category_counts(*drawn_categories())
    assert words == ("a", "b", "c", "d")
    assert CATEGORIES[figure](first, second) == pytest.approx(ORACLE["cat"][figure], rel=1e-9, abs=1e-12)


def test_inputs_are_those_of_the_record():
    for case, values in ORACLE["numeric"].items():
        assert [each.sum() for each in drawn(case)] == pytest.approx([values["ref_sum"], values["cur_sum"]], rel=1e-12)
    _, *counts = shares.category_counts(*drawn_categories())
    assert [each.tolist() for each in counts] == [ORACLE["cat"]["ref_counts"], ORACLE["cat"]["cur_counts"]]


def test_every_figure_of_a_stated_convention_is_there():
    assert (len(CASES), len(CATEGORIES)) == (46, 7)
    assert {figure for _, figure in CASES} == NUMBERS.keys()
    assert CATEGORIES.keys() == ORACLE["cat"].keys() - INPUT - ABSENT_OF_CATEGORIES
