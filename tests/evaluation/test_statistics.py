"""Tests over animals and folds, against enumeration, definitions, scipy and the published folds."""

import itertools
from itertools import product
from math import erfc, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calcium_decoding.data import published
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.evaluation import statistics


def all_pairs(groups):
    return statistics.rank_sum_family(itertools.combinations(groups, 2), groups)


def test_folds_become_one_number_an_animal():
    means = statistics.by_animal([1.0, 2.0, 6.0, 4.0, 0.5], ["b", "a", "a", "a", "b"])
    assert means.index.tolist() == ["b", "a"] and means.tolist() == [0.75, 4.0]


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=2, max_size=8))
def test_sign_flip_counts_assignments(differences):
    # Whole numbers, so that ties are exact here; tenths in the library, where sums differ by rounding.
    observed, count = sum(differences), 0
    for signs in product((1, -1), repeat=len(differences)):
        total = sum(s * d for s, d in zip(signs, differences, strict=True))
        count += abs(total) >= abs(observed)
    found = statistics.sign_flip(np.array(differences) / 10)
    assert found.p == count / 2 ** len(differences)
    assert found.effect == pytest.approx(np.mean(differences) / 10)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_sign_flip_agrees_with_scipy(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf,
                                    alternative="two-sided", vectorized=True)
    assert statistics.sign_flip(differences).p == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_one_sided_sign_flip_agrees_with_scipy(alternative):
    differences = np.random.default_rng(4).normal(0.4, 1, 7)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf,
                                    alternative=alternative, vectorized=True)
    found = statistics.sign_flip(differences, alternative)
    assert found.p == pytest.approx(theirs.pvalue, abs=1e-12) and found.floor == 1 / 128
    assert f"one-sided, {alternative} than 0; no p below 1/128" in str(found)
    assert statistics.sign_flip(-np.abs(differences), "greater").p == 1
    many = np.random.default_rng(4).normal(0.3, 1, 30)
    assert statistics.sign_flip(many, "greater").p == pytest.approx(statistics.sign_flip(many).p / 2, abs=2e-3)


def test_of_many_animals_signs_are_drawn_and_come_near_the_exact_p():
    """The exact p of 24 animals is counted over two halves of 4,096 sums each."""
    differences = np.random.default_rng(5).normal(0.2, 1, 24)
    halves = [np.array([np.dot(signs, half) for signs in product((1, -1), repeat=12)])
              for half in (differences[:12], differences[12:])]
    sums, observed = np.add.outer(*halves), differences.sum()
    exact = np.mean(np.abs(sums) >= abs(observed) - 1e-9)
    found = statistics.sign_flip(differences)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 100_000))
    assert found.p == statistics.sign_flip(differences).p
    assert "100,000 assignments, sign-flip" in str(found)
    assert statistics.sign_flip(np.full(30, 0.3)).p == statistics.sign_flip(np.full(30, 0.3)).floor == 1e-5


def test_five_animals_cannot_go_below_a_sixteenth():
    strong = statistics.sign_flip([0.3, 0.2, 0.25, 0.31, 0.28])
    assert strong.p == strong.floor == 1 / 16 and "1/16" in str(strong) and "5 animals" in str(strong)
    assert not strong.can_tell and "p =" not in str(strong)  # what cannot be significant is not shown
    one_sided = statistics.sign_flip([0.3, 0.2, 0.25, 0.31, 0.28], "greater")
    assert one_sided.p == one_sided.floor == 1 / 32 and one_sided.can_tell and "p = 0.0312" in str(one_sided)
    assert statistics.sign_flip([0.0, 0.0]).p == 1


def test_sign_flip_holds_its_level_over_animals_and_a_test_over_folds_does_not():
    """No difference between decoders, but animals differ in it: five animals of four folds each."""
    rng = np.random.default_rng(0)
    flips, folds, n = 0, 0, 1000
    for _ in range(n):
        differences = np.repeat(rng.normal(size=5), 4) + 0.3 * rng.normal(size=20)
        flips += statistics.sign_flip(statistics.by_animal(differences, np.repeat(range(5), 4))).p <= 1 / 16
        folds += stats.ttest_1samp(differences, 0).pvalue <= 1 / 16
    assert flips / n == pytest.approx(1 / 16, abs=0.025)  # 3 SD
    assert folds / n > 0.25


def by_hand(a, b):
    """Rank-sum p by its definition: ranks by counting, variance with ties, continuity, normal tail."""
    both = [*a, *b]
    ranks = [sum(y < x for y in both) + (sum(y == x for y in both) + 1) / 2 for x in both]
    n, m = len(a), len(b)
    excess = sum(ranks[:n]) - n * (n + m + 1) / 2
    ties = sum(both.count(x) ** 3 - both.count(x) for x in set(both))
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    return erfc(max(0.0, abs(excess) - 0.5) / sqrt(variance) / sqrt(2))


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=10, max_size=20), st.lists(st.integers(3, 12), min_size=10, max_size=20))
def test_rank_sum_by_its_definition(a, b):
    if len({*a, *b}) > 1:
        assert statistics.rank_sum(a, b) == pytest.approx(by_hand(a, b), rel=1e-9)


def test_holm_by_its_definition():
    rng = np.random.default_rng(3)
    groups = {name: rng.normal(mean, 1, 20) for name, mean in zip("abcd", (0, 0.3, 0.8, 2), strict=True)}
    table = all_pairs(groups)
    assert [*zip(table["group_a"], table["group_b"], strict=True)] == [
        ("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    p = table["p_two_sided"].to_numpy()
    for i in range(6):
        # The largest, over tests with p no larger, of p times the number of tests with p no smaller.
        holm = max(min(1, p[j] * np.sum(p >= p[j])) for j in range(6) if p[j] <= p[i])
        assert table["p_holm"][i] == pytest.approx(holm)
    assert table["difference"][2] == pytest.approx(groups["a"].mean() - groups["d"].mean())


def test_against_one_reference():
    rng = np.random.default_rng(4)
    groups = {shift: rng.normal(shift, 1, 20) for shift in (-1, 0, 2, 3)}
    table = statistics.rank_sum_family([(0, name) for name in groups if name], groups)
    assert table["group_a"].tolist() == [0, 0, 0] and table["group_b"].tolist() == [-1, 2, 3]
    assert (table["family_size"] == 3).all()
    assert table["p_two_sided"][1] == statistics.rank_sum(groups[0], groups[2])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3, unique=True),
       st.lists(st.floats(2, 3), min_size=4, max_size=4, unique=True), st.booleans())
def test_no_p_of_different_values_is_below_the_least_one(a, b, mixed):
    least = statistics.least_rank_sum(3, 4)
    assert statistics.rank_sum(a, b) == pytest.approx(least)
    mixed = [*a[:2], b[0]], [a[2], *b[1:]]
    assert statistics.rank_sum(*mixed) > least


def test_three_against_three_can_never_be_significant_and_the_table_knows_it():
    """All groups apart from each other: every p is as small as it can be."""
    apart = {n: {i: range(10 * n * i, 10 * n * i + n) for i in range(3)} for n in (3, 5, 20)}
    for n, groups in apart.items():
        table = all_pairs(groups)
        assert table["least_p_holm"].to_numpy() == pytest.approx(table["p_holm"])
        assert (table["least_p_holm"] < 0.05).all() == (n > 3)
    # Five against five can be significant in a family of three, not of six.
    assert (all_pairs({i: range(50 * i, 50 * i + 5) for i in range(4)})["least_p_holm"] > 0.05).all()
    # Holm: a large pair comes first, and what is left for a small one is its p alone.
    uneven = {"a": range(20), "b": range(50, 70), "c": range(90, 94)}
    table = all_pairs(uneven)
    assert table["least_p_holm"].to_numpy() == pytest.approx(table["p_holm"])


def test_stars():
    def stars(n):  # two groups of n values that do not overlap: p falls with n
        row = all_pairs({"a": range(n), "b": range(100, 100 + n)}).iloc[0]
        assert row["p_holm"] == row["p_two_sided"]
        return row["p_holm"], row["stars"]

    found = [stars(n) for n in (3, 4, 6, 10)]
    assert [s for _, s in found] == ["n.s.", "*", "**", "***"]
    assert 0.05 < found[0][0] and 0.01 < found[1][0] < 0.05 and 0.001 < found[2][0] < 0.01 and found[3][0] < 0.001


@pytest.mark.parametrize("panel", published.FAMILIES)
def test_the_study_by_its_own_test(panel):
    """Every p-value on record, to its four printed digits."""
    check = published.table("rank_sum_check").query("family == @panel").reset_index(drop=True)
    table = all_pairs(published.family(panel))
    assert len(check) == len(table) > 0
    for ours, theirs in zip(table.itertuples(), check.itertuples(), strict=True):
        assert (ours.group_a, ours.group_b, ours.stars) == (theirs.group_a, theirs.group_b, theirs.stars)
        assert ours.family_size == theirs.family_size
        for name in ("p_two_sided", "p_holm"):
            assert f"{getattr(ours, name):.4g}" == f"{getattr(theirs, name):.4g}"


def test_what_the_paper_marks_with_stars():
    """Fig 4F marks the GRU against the simple RNN alone; Fig 5B the shortest window, against all but the next."""
    table = all_pairs(published.family("Fig4F")).query("stars != 'n.s.'")
    assert table[["group_a", "group_b", "stars"]].to_numpy().tolist() == [
        ["GRU|preprocessed", "SimpleRNN|preprocessed", "*"]]
    table = all_pairs(published.family("Fig5B")).query("stars != 'n.s.'")
    assert set(table["group_a"]) == {"GRU|half_window_5_frames"}
    assert dict(zip(table["group_b"], table["stars"], strict=True)) == {
        f"GRU|half_window_{k}_frames": s for k, s in ((15, "*"), (20, "**"), (25, "*"), (30, "**"))}


def test_published_folds_by_animal_reach_the_floor_and_no_further():
    groups = published.family("Fig4E_without_linear")
    difference = groups["GRU|preprocessed"] - groups["GRU|raw"]
    means = statistics.by_animal(difference, difference.index.get_level_values("test_mouse"))
    found = statistics.sign_flip(means)
    assert found.n_animals == 5 and (means > 0).all() and found.p == 1 / 16
    assert statistics.rank_sum(groups["GRU|preprocessed"], groups["GRU|raw"]) < 0.001


@pytest.mark.parametrize(("call", "said"), [
    (lambda: statistics.by_animal([], []), r"shape \(0,\)"),
    (lambda: statistics.by_animal([0.1, np.nan], "ab"), "1 of 2 values that are not finite"),
    (lambda: statistics.by_animal([0.1, 0.2], "abc"), "3 animals for 2 values"),
    (lambda: statistics.sign_flip([0.1]), "2 animals or more"),
    (lambda: statistics.sign_flip([0.1, np.inf]), "not finite"),
    (lambda: statistics.sign_flip(np.ones((2, 2))), r"shape \(2, 2\)"),
    (lambda: statistics.rank_sum([0.1, 0.2], []), r"b: found shape \(0,\)"),
    (lambda: statistics.rank_sum([0.1, 0.1], [0.1]), "3 equal values"),
])
def test_data_that_say_nothing_are_refused(call, said):
    with pytest.raises(DataError, match=said):
        call()


@pytest.mark.parametrize(("call", "said"), [
    (lambda: all_pairs({"a": [1, 2]}), "no pairs"),
    (lambda: statistics.sign_flip([0.1, 0.2], "larger"), "one of two-sided, greater, less"),
    (lambda: statistics.rank_sum_family([("c", "a")], {"a": [1, 2], "b": [1, 2]}), "unknown groups c"),
])
def test_parameters_out_of_range_are_refused(call, said):
    with pytest.raises(ParameterError, match=said):
        call()
