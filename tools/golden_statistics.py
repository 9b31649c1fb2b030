#!/usr/bin/env python3
"""Makes crates/eval/tests/golden/statistics.json: what scipy and statsmodels compute.

Needs: pip install scipy statsmodels
Run:   python tools/golden_statistics.py
"""

import json
from pathlib import Path

import numpy
import scipy
import statsmodels.api
from scipy import optimize, stats
from statsmodels.stats import contingency_tables, multitest, power, proportion

FILE = Path(__file__).parent.parent / "crates/eval/tests/golden/statistics.json"


def means(random):
    cases = []
    for count in (2, 3, 12, 200):
        values = random.normal(size=count)
        result = stats.ttest_1samp(values, 0.3)
        interval = result.confidence_interval(0.9)
        cases.append({"values": values.tolist(), "expected": 0.3, "p": result.pvalue, "confidence": 0.9,
                      "low": interval.low, "high": interval.high})  # fmt: skip
    return cases


def differences(random):
    first, second = random.normal(size=25), 0.4 + 2 * random.normal(size=14)
    welch = stats.ttest_ind(first, second, equal_var=False)
    interval = welch.confidence_interval(0.95)
    paired = stats.ttest_rel(first[:14], second)
    signs = stats.permutation_test((first[:14] - second,), numpy.sum, permutation_type="samples", n_resamples=numpy.inf)
    return {"first": first.tolist(), "second": second.tolist(), "welch_p": welch.pvalue, "low": interval.low,
            "high": interval.high, "paired_p": paired.pvalue, "permutation_p": signs.pvalue}  # fmt: skip


def wilson():
    cases = [(0, 7), (3, 11), (50, 100), (997, 1000), (5, 5)]
    interval = lambda right, count, alpha: list(proportion.proportion_confint(right, count, alpha, method="wilson"))
    return [[right, count, *interval(right, count, 0.05), *interval(right, count, 0.2)] for right, count in cases]


def mcnemar():
    cases = [(0, 0), (1, 0), (5, 5), (54, 10), (16, 8), (8, 26), (9, 93), (300, 340)]
    exact = lambda b, c: contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue
    middle = lambda b, c: 2 * stats.binom.cdf(min(b, c), b + c, 0.5) - stats.binom.pmf(min(b, c), b + c, 0.5)
    return [[b, c, float(exact(b, c)), float(middle(b, c))] for b, c in cases]


def clustered(random):
    clusters = random.integers(0, 9, size=60)
    values = random.normal(size=9)[clusters] + random.normal(size=60)
    fit = statsmodels.api.OLS(values, numpy.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    return {"values": values.tolist(), "clusters": clusters.tolist(), "value": fit.params[0], "error": fit.bse[0]}


def bradley_terry(random):
    games = [[int(a), int(b), float(score)] for a, b, score in
             zip(random.integers(0, 3, 80), random.integers(3, 5, 80), random.choice([0, 0.5, 1], 80))]  # fmt: skip
    games += [[0, 1, 1.0], [1, 2, 0.0], [2, 1, 0.0], [1, 0, 1.0], [3, 4, 0.5]]

    def loss(strengths):
        margins = [strengths[a] - strengths[b] for a, b, _ in games]
        return sum(numpy.logaddexp(0, -m) * s + numpy.logaddexp(0, m) * (1 - s) for m, (_, _, s) in zip(margins, games))

    found = optimize.minimize(loss, numpy.zeros(5), method="BFGS", options={"gtol": 1e-10}).x
    return {"games": games, "strengths": (found - found.mean()).tolist()}


def main():
    random = numpy.random.default_rng(7)
    needed = power.NormalIndPower().solve_power(effect_size=0.2, alpha=0.05, power=0.9, ratio=1.0)
    p_values = [0.03, 0.001, 0.04, 0.04, 0.2, 0.9]
    golden = {
        "made_by": f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
        "means": means(random),
        "differences": differences(random),
        "wilson": wilson(),
        "mcnemar": mcnemar(),
        "holm": {"p": p_values, "adjusted": multitest.multipletests(p_values, method="holm")[1].tolist()},
        "clustered": clustered(random),
        "bradley_terry": bradley_terry(random),
        "needed": {"variance": 2.0, "effect": 0.2, "alpha": 0.05, "power": 0.9, "count": needed},
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
