"""The statistics against hand-checked vectors, the design's tables, scipy, statsmodels, and their own properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportion_effectsize

from pipeline import stats


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (243, 300, 0.7618, 0.8504),
        (298, 300, 0.9760, 0.9982),
        (300, 300, 0.9874, 1),
        (0, 30, 0, 0.1135),
        (9, 10, 0.5958, 0.9821),
    ],
)
def test_wilson_gives_the_published_vectors(successes: int, trials: int, low: float, high: float) -> None:
    assert stats.wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_agrees_with_statsmodels_on_a_grid() -> None:
    for trials in (1, 2, 7, 60, 108, 500, 3000):
        for successes in {0, 1, trials // 3, trials // 2, trials - 1, trials}:
            for confidence in (0.8, 0.95, 0.99):
                expected = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
                assert stats.wilson_interval(successes, trials, confidence) == pytest.approx(expected, abs=1e-10)


@given(st.integers(0, 2000), st.integers(0, 2000), st.floats(0.01, 0.999))
def test_wilson_brackets_the_rate_and_mirrors(successes: int, failures: int, confidence: float) -> None:
    trials = successes + failures
    low, high = stats.wilson_interval(successes, trials, confidence)
    assert 0 <= low <= high <= 1
    if trials:
        assert low <= successes / trials <= high
    mirrored = stats.wilson_interval(failures, trials, confidence)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


def test_wilson_without_trials_says_nothing_is_known() -> None:
    assert stats.wilson_interval(0, 0) == (0.0, 1.0)
    assert stats.effective_wilson(0, 0, 3.0) == (0.0, 1.0)


def test_mcnemar_gives_the_published_vectors() -> None:
    large = stats.mcnemar(57, 2)
    assert large.method == "chi2"
    assert large.statistic == pytest.approx(49.4237, abs=5e-5)
    assert large.p_value == pytest.approx(2.062e-12, rel=1e-3)
    assert stats.mcnemar(57, 2, method="exact").p_value == pytest.approx(6.14e-15, rel=1e-3)
    small = stats.mcnemar(10, 2)
    assert small.method == "exact"
    assert small.statistic == pytest.approx(4.0833, abs=5e-5)
    assert small.p_value == pytest.approx(0.0386, abs=5e-5)
    assert stats.mcnemar(10, 2, method="chi2").p_value == pytest.approx(0.0433, abs=5e-5)
    assert stats.mcnemar(5, 5) == stats.McNemar(0.0, 1.0, "exact")
    assert stats.mcnemar(0, 0) == stats.McNemar(None, 1.0, "none")


def test_mcnemar_agrees_with_statsmodels_and_never_corrects_past_equality() -> None:
    for a in (0, 1, 3, 9, 14, 24, 25, 60, 140):
        for b in (0, 2, 3, 10, 25, 61):
            table = [[5, a], [b, 7]]
            if a + b:
                exact = stats.mcnemar(a, b, method="exact").p_value
                assert exact == pytest.approx(min(1.0, reference_mcnemar(table, exact=True).pvalue), rel=1e-9)
            if a != b:
                corrected = stats.mcnemar(a, b, method="chi2")
                expected = reference_mcnemar(table, exact=False, correction=True)
                assert corrected.statistic == pytest.approx(expected.statistic)
                assert corrected.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert stats.mcnemar(40, 40) == stats.McNemar(0.0, 1.0, "chi2")


@pytest.mark.parametrize(("discordant", "method"), [(24, "exact"), (25, "chi2")])
def test_mcnemar_changes_method_at_25_discordant_pairs(discordant: int, method: str) -> None:
    assert stats.mcnemar(discordant, 0).method == method


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_does_not_care_which_side_is_named_first(a: int, b: int) -> None:
    assert stats.mcnemar(a, b) == stats.mcnemar(b, a)
    assert 0 <= stats.mcnemar(a, b).p_value <= 1


def test_cohens_h_is_signed_and_gives_the_vector() -> None:
    # The vector h = .7386 is that of 298/300 against 243/300; the rounded rate .9933 gives .7382.
    assert stats.cohens_h(298 / 300, 0.81) == pytest.approx(0.7386, abs=5e-5)
    assert stats.cohens_h(0.81, 298 / 300) == pytest.approx(-0.7386, abs=5e-5)
    assert stats.cohens_h(0.9933, 0.81) == pytest.approx(0.7386, abs=5e-4)
    for p1 in (0.0, 0.1, 0.5, 0.99, 1.0):
        assert stats.cohens_h(p1, 0.3) == pytest.approx(proportion_effectsize(p1, 0.3))


def test_kappa_gives_the_textbooks_value_and_none_where_chance_decides_all() -> None:
    assert stats.cohen_kappa(20, 5, 10, 15) == pytest.approx(0.4)
    assert stats.cohen_kappa(0, 7, 3, 0) == pytest.approx(1 - 1 / 0.58)
    assert stats.cohen_kappa(9, 0, 0, 0) is None
    assert stats.cohen_kappa(0, 0, 0, 0) is None
    with pytest.raises(ValueError, match="only_b"):
        stats.cohen_kappa(1, 1, -1, 1)


def test_benjamini_hochberg_steps_up_over_a_failing_rank() -> None:
    assert stats.benjamini_hochberg([0.001, 0.09, 0.095], 0.10) == [True, True, True]
    assert stats.benjamini_hochberg([0.095, 0.001, 0.2], 0.10) == [False, True, False]
    assert stats.benjamini_hochberg([], 0.10) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_benjamini_hochberg_agrees_with_statsmodels(p_values: list[float], fdr: float) -> None:
    assert stats.benjamini_hochberg(p_values, fdr) == list(multipletests(p_values, alpha=fdr, method="fdr_bh")[0])


def test_the_bootstrap_interval_is_the_lift_of_a_over_b_and_repeats_with_its_seed() -> None:
    a, b = [1] * 80 + [0] * 20, [1] * 50 + [0] * 50
    low, high = stats.paired_bootstrap(a, b)
    assert 0 < low < 0.30 < high
    assert (low, high) == stats.paired_bootstrap(a, b, seed=0)
    fine = [i / 1000 for i in range(100)]
    assert stats.paired_bootstrap(fine, b, seed=0) != stats.paired_bootstrap(fine, b, seed=1)
    flipped = stats.paired_bootstrap(b, a)
    assert flipped == pytest.approx((-high, -low), abs=0.011)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.3 * 0.7 / 100), rel=0.06)


def test_the_bootstrap_widens_when_items_of_a_template_move_together() -> None:
    a = [outcome for cluster in range(20) for outcome in [cluster % 2] * 10]
    b, clusters = [0] * 200, [i // 10 for i in range(200)]
    naive, clustered = stats.paired_bootstrap(a, b), stats.paired_bootstrap(a, b, clusters)
    ratio = (clustered[1] - clustered[0]) / (naive[1] - naive[0])
    assert ratio == pytest.approx(math.sqrt(10), rel=0.1)
    singles = stats.paired_bootstrap(a, b, clusters=list(range(200)))
    assert singles == naive


def test_the_bootstrap_does_not_need_memory_for_all_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = [1, 0, 1, 1, 0] * 40, [0, 0, 1, 0, 0] * 40
    whole = stats.paired_bootstrap(a, b, draws=500)
    monkeypatch.setattr(stats, "_BOOTSTRAP_CELLS", 700)
    assert stats.paired_bootstrap(a, b, draws=500) == whole


def test_the_design_effect_is_one_for_singletons_and_the_cluster_size_for_copies() -> None:
    rng = np.random.default_rng(3)
    flat = rng.integers(0, 2, 400)
    assert stats.design_effect(list(flat), list(range(400))) == 1.0
    copies = np.repeat(flat, 5)
    assert stats.design_effect(list(copies), list(np.repeat(np.arange(400), 5))) == pytest.approx(5.0, rel=0.01)
    assert stats.design_effect([1, 0] * 50, [i // 2 for i in range(100)]) == 1.0  # less than independent: never < 1
    assert stats.design_effect([1, 0, 1], ["only"] * 3) == 3.0
    # Residuals 1, 0, -1 by cluster: 3/2 * 2 / 36 over (1/4) / 5.
    assert stats.design_effect([1, 1, 1, 0, 0, 0], list("aabbcc")) == pytest.approx(5 / 3)
    assert stats.design_effect([1, 1, 1, 1], ["a", "a", "b", "b"]) == 1.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=80))
def test_the_design_effect_stays_between_one_and_n(rows: list[tuple[bool, int]]) -> None:
    outcomes, clusters = [r[0] for r in rows], [r[1] for r in rows]
    effect = stats.design_effect(outcomes, clusters)
    assert 1.0 <= effect <= max(1, len(rows))
    naive, honest = (
        stats.wilson_interval(sum(outcomes), len(rows)),
        stats.effective_wilson(sum(outcomes), len(rows), effect),
    )
    assert honest[0] <= naive[0] + 1e-12
    assert honest[1] >= naive[1] - 1e-12


def test_the_sign_flip_test_is_mcnemar_when_every_cluster_is_one_item() -> None:
    for a, b in ((10, 2), (5, 5), (7, 0), (30, 11)):
        differences = [1] * a + [-1] * b + [0] * 50
        assert stats.sign_flip_test(differences) == pytest.approx(stats.mcnemar(a, b, method="exact").p_value)


def test_the_sign_flip_test_counts_every_flip() -> None:
    differences = [3, 1, 2, -1, 4]
    observed = abs(sum(differences))
    flips = [
        abs(sum(d if mask >> i & 1 else -d for i, d in enumerate(differences))) >= observed for mask in range(2**5)
    ]
    assert stats.sign_flip_test(differences) == pytest.approx(sum(flips) / 32)
    assert stats.sign_flip_test([]) == 1.0
    assert stats.sign_flip_test([4] * 3) == 0.25  # three templates can never show p < 0.01


@pytest.mark.parametrize(
    ("n", "share_a", "share_b", "at_1_percent", "at_5_percent"),
    [
        (500, 0.06, 0.03, 0.32, 0.56), (1000, 0.06, 0.03, 0.70, 0.87), (300, 0.10, 0.05, 0.32, 0.56),
        (500, 0.10, 0.05, 0.59, 0.80), (1000, 0.10, 0.05, 0.93, 0.98), (300, 0.08, 0.02, 0.75, None),
        (500, 0.08, 0.02, 0.96, None), (300, 0.15, 0.05, 0.90, 0.97), (500, 0.15, 0.05, 0.99, None),
    ],
)  # fmt: skip
def test_mcnemar_power_gives_the_design_table(
    n: int, share_a: float, share_b: float, at_1_percent: float, at_5_percent: float | None
) -> None:
    assert stats.mcnemar_power(n, share_a, share_b, 0.01) == pytest.approx(at_1_percent, abs=0.0075)
    if at_5_percent is not None:
        assert stats.mcnemar_power(n, share_a, share_b, 0.05) == pytest.approx(at_5_percent, abs=0.0075)


def test_the_minimum_detectable_effect_is_where_the_power_is_reached() -> None:
    for n, share in ((300, 0.15), (500, 0.15), (1000, 0.09), (500, 0.3)):
        effect = stats.minimum_detectable_effect(n, share, 0.01, 0.8)
        assert effect is not None
        power = stats.mcnemar_power(n, (share + effect) / 2, (share - effect) / 2, 0.01)
        assert power == pytest.approx(0.8, abs=0.06)
    assert stats.minimum_detectable_effect(500, 0.0) is None
    assert stats.minimum_detectable_effect(0, 0.5) is None
    assert stats.minimum_detectable_effect(10, 0.2) is None


def test_the_binomial_tail_is_exact_on_both_sides() -> None:
    for n, p in ((1, 0.5), (20, 0.05), (500, 0.97), (60, 1.0), (60, 0.0)):
        for k in {-1, 0, n // 2, n - 1, n}:
            direct = sum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1))
            assert stats.binomial_cdf(k, n, p) == pytest.approx(direct, abs=1e-9)


# --- a thousand random inputs against scipy and statsmodels ----------------------------------------------------------

CASES = 1000


def test_wilson_agrees_with_statsmodels_on_random_counts() -> None:
    rng = np.random.default_rng(21)
    trials = rng.integers(1, 3000, CASES)
    successes = np.round(trials * rng.random(CASES)).astype(int)
    for confidence in (0.9, 0.95, 0.99):
        low, high = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
        ours = np.array(
            [stats.wilson_interval(int(k), int(n), confidence) for k, n in zip(successes, trials, strict=True)]
        )
        assert np.abs(ours - np.column_stack([low, high])).max() < 1e-10


def test_mcnemar_agrees_with_scipy_on_random_counts() -> None:
    rng = np.random.default_rng(22)
    counts = np.concatenate([rng.integers(0, 150, (CASES, 2)), rng.integers(0, 16, (CASES, 2))])
    counts = counts[counts.sum(axis=1) > 0]
    total, gaps = counts.sum(axis=1), np.abs(counts[:, 0] - counts[:, 1])
    exact = np.minimum(1.0, 2 * scipy_stats.binom.cdf(counts.min(axis=1), total, 0.5))
    corrected = scipy_stats.chi2.sf(np.maximum(gaps - 1, 0) ** 2 / total, 1)
    for (a, b), by_binomial, by_chi2 in zip(counts.tolist(), exact, corrected, strict=True):
        assert stats.mcnemar(a, b, method="exact").p_value == pytest.approx(by_binomial, rel=1e-9)
        assert stats.mcnemar(a, b, method="chi2").p_value == pytest.approx(by_chi2, rel=1e-9)
        wanted = by_binomial if a + b < stats.EXACT_BELOW else by_chi2
        assert stats.mcnemar(a, b).p_value == pytest.approx(wanted, rel=1e-9)
    for a, b in counts[:: len(counts) // 100].tolist():
        assert stats.mcnemar(a, b, method="exact").p_value == pytest.approx(
            min(1.0, reference_mcnemar([[3, a], [b, 4]], exact=True).pvalue), rel=1e-9
        )


def test_cohens_h_agrees_with_statsmodels_on_random_rates() -> None:
    first, second = np.random.default_rng(23).random((2, CASES))
    ours = [stats.cohens_h(float(a), float(b)) for a, b in zip(first, second, strict=True)]
    assert np.abs(np.array(ours) - proportion_effectsize(first, second)).max() < 1e-12


def test_kappa_agrees_with_statsmodels_on_random_tables() -> None:
    for both, only_a, only_b, neither in np.random.default_rng(29).integers(1, 60, (CASES, 4)).tolist():
        wanted = cohens_kappa([[both, only_a], [only_b, neither]], return_results=False)
        assert stats.cohen_kappa(both, only_a, only_b, neither) == pytest.approx(float(wanted), abs=1e-12)


def test_benjamini_hochberg_agrees_with_statsmodels_on_random_families() -> None:
    rng, rejected = np.random.default_rng(24), 0
    for _ in range(CASES):
        p_values = rng.random(rng.integers(1, 25)) ** rng.choice([1, 3, 8])
        if rng.random() < 0.3:
            p_values = np.round(p_values, 2)  # ties
        fdr = float(rng.choice([0.01, 0.05, 0.1, 0.25]))
        ours = stats.benjamini_hochberg([float(p) for p in p_values], fdr)
        assert ours == list(multipletests(p_values, alpha=fdr, method="fdr_bh")[0])
        rejected += sum(ours)
    assert rejected > CASES


def test_the_binomial_tail_agrees_with_scipy_on_random_counts() -> None:
    rng = np.random.default_rng(25)
    for n, p in zip(rng.integers(1, 700, CASES).tolist(), rng.random(CASES).tolist(), strict=True):
        k = int(np.clip(rng.normal(n * p, 3 * math.sqrt(n * p * (1 - p)) + 1), -1, n))
        assert stats.binomial_cdf(k, n, p) == pytest.approx(float(scipy_stats.binom.cdf(k, n, p)), abs=1e-10)


def clustered_sample(rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Outcomes and their clusters, with clusters of unequal size whose items agree more often than by chance."""
    count = int(rng.integers(2, 40))
    sizes = rng.integers(1, 12, count)
    clusters = np.repeat(np.arange(count), sizes)
    chances = rng.beta(1.5, 1.0, count)[clusters]
    return [int(x) for x in rng.random(len(clusters)) < chances], clusters.tolist()


def test_the_design_effect_agrees_with_cluster_robust_regression_on_random_samples() -> None:
    """An intercept-only regression with clustered errors has the very variance that the design effect compares."""
    rng, above_one = np.random.default_rng(26), 0
    for _ in range(CASES):
        outcomes, clusters = clustered_sample(rng)
        n, rate = len(outcomes), float(np.mean(outcomes))
        if rate in (0.0, 1.0) or len(set(clusters)) == n:
            assert stats.design_effect(outcomes, clusters) == 1.0
            continue
        fit = OLS(outcomes, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": np.array(clusters)})
        naive = rate * (1 - rate) / (n - 1)
        wanted = min(n, max(1.0, float(fit.bse[0]) ** 2 / naive))
        assert stats.design_effect(outcomes, clusters) == pytest.approx(wanted, rel=1e-9)
        above_one += wanted > 1
    assert above_one > CASES / 2


def test_the_sign_flip_test_agrees_with_scipys_exact_permutations_on_random_differences() -> None:
    rng, samples = np.random.default_rng(27), [np.array(row) for row in np.ndindex(5, 5, 5, 5)]
    for sample in [*rng.permutation(samples)[:400] - 2, *rng.integers(-6, 9, (600, 6))]:
        flips = np.array(np.meshgrid(*[[-1, 1]] * len(sample))).reshape(len(sample), -1)
        direct = float((np.abs(sample @ flips) >= abs(sample.sum())).mean())
        assert stats.sign_flip_test([int(d) for d in sample]) == pytest.approx(direct, abs=1e-12)
    for sample in rng.integers(-6, 9, (20, 7)):
        found = scipy_stats.permutation_test(
            (sample,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        )
        assert stats.sign_flip_test([int(d) for d in sample]) == pytest.approx(found.pvalue, abs=1e-12)


def test_the_cluster_bootstrap_is_as_wide_as_cluster_robust_regression_says() -> None:
    rng, ratios = np.random.default_rng(28), []
    for seed in range(40):
        clusters = np.repeat(np.arange(60), 5)
        a = (rng.random(300) < rng.beta(3, 1, 60)[clusters]).astype(float)
        b = (rng.random(300) < rng.beta(2, 2, 60)[clusters]).astype(float)
        fit = OLS(a - b, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
        low, high = stats.paired_bootstrap(a.tolist(), b.tolist(), clusters.tolist(), draws=2000, seed=seed)
        assert low < float(np.mean(a - b)) < high
        ratios.append((high - low) / (2 * 1.959964 * float(fit.bse[0])))
    assert float(np.mean(ratios)) == pytest.approx(1.0, abs=0.03)
    assert min(ratios) > 0.85
    assert max(ratios) < 1.15


# --- the design's further numbers ------------------------------------------------------------------------------------


def one_sided_allowed(n: int) -> int:
    """Failures with which the one-sided 95 % lower bound still reaches 95 %."""
    return next(k for k in range(n, -1, -1) if stats.wilson_interval(n - k, n, 0.90)[0] >= 0.95)


@pytest.mark.parametrize(("n", "allowed"), [(100, 1), (200, 4), (300, 8), (500, 16), (541, 18), (1000, 38), (2000, 83)])
def test_the_one_sided_strict_rule_allows_what_the_design_says(n: int, allowed: int) -> None:
    assert one_sided_allowed(n) == allowed


@pytest.mark.parametrize(
    ("n", "chances"),
    [(300, (0.15, 0.45, 0.85)), (500, (0.22, 0.67, 0.97)), (1000, (0.41, 0.94, 1.0)), (2000, (0.66, 0.998, 1.0))],
)
def test_the_one_sided_strict_rule_has_the_designs_power(n: int, chances: tuple[float, ...]) -> None:
    for rate, chance in zip((0.96, 0.97, 0.98), chances, strict=True):
        assert stats.binomial_cdf(one_sided_allowed(n), n, 1 - rate) == pytest.approx(chance, abs=0.0075)


@pytest.mark.parametrize(("n", "chance"), [(300, 0.28), (500, 0.20), (1000, 0.10)])
def test_a_point_estimate_alone_would_pass_a_true_94_percent(n: int, chance: float) -> None:
    assert stats.binomial_cdf(n * 5 // 100, n, 0.06) == pytest.approx(chance, abs=0.0075)


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.wilson_interval(-1, 5),
        lambda: stats.wilson_interval(6, 5),
        lambda: stats.wilson_interval(2.5, 5),  # type: ignore[arg-type]
        lambda: stats.wilson_interval(float("nan"), 5),  # type: ignore[arg-type]
        lambda: stats.wilson_interval(1, 5, 1.0),
        lambda: stats.effective_wilson(1, 5, 0.9),
        lambda: stats.effective_wilson(1, 5, float("nan")),
        lambda: stats.mcnemar(-1, 2),
        lambda: stats.mcnemar(1, float("nan")),  # type: ignore[arg-type]
        lambda: stats.cohens_h(1.2, 0.1),
        lambda: stats.cohens_h(float("nan"), 0.1),
        lambda: stats.benjamini_hochberg([0.1, float("nan")], 0.1),
        lambda: stats.benjamini_hochberg([1.1], 0.1),
        lambda: stats.benjamini_hochberg([0.1], -0.1),
        lambda: stats.paired_bootstrap([1.0], [1.0, 0.0]),
        lambda: stats.paired_bootstrap([], []),
        lambda: stats.paired_bootstrap([float("nan")], [1.0]),
        lambda: stats.paired_bootstrap([1.0], [1.0], clusters=[]),
        lambda: stats.paired_bootstrap([1.0], [1.0], draws=0),
        lambda: stats.design_effect([2, 0], ["a", "b"]),
        lambda: stats.design_effect([1], []),
        lambda: stats.sign_flip_test([0.5]),  # type: ignore[list-item]
        lambda: stats.minimum_detectable_effect(10, 1.5),
        lambda: stats.minimum_detectable_effect(10, 0.5, alpha=0.0),
        lambda: stats.binomial_cdf(1, -1, 0.5),
    ],
)  # fmt: skip
def test_nonsense_is_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        call()  # type: ignore[operator]
