"""The ledger: nothing left out, published numbers as in their tables, verdicts by rule on cards made here."""

import csv
import re
import statistics as plain

import numpy as np
import pytest
import yaml
from scipy import stats

from calcium_decoding import cli
from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import Provenance, ResultCard, Score
from decoding_book import claims, ledger
from decoding_book.parameters import CHAPTERS
from tests.conftest import ROOT

TABLES = ROOT / "lib" / "calcium_decoding" / "data" / "published"
PANELS = {
    "Ajioka": "1A 1B 1C 2A 2B 2C 2D 2E 2F 3 3B 4A 4B 4C 4D 4E 4F 5A 5B 5C 6A 6B 6C 6D 6E 6F "
              "S1 S2 S3 S4 S5A S5B S5C S5D S5E S6",
    "Mirzaee": "abstract summary,1 summary,2 summary,3 summary,4 LSTM,002 LSTM,003 LSTM,009 LSTM,010",
}


def all_claims():
    return [(study, claim) for study in claims.load().studies for group in study.groups for claim in group.claims]


def card(scores, chapter="10_roi_rnn", dataset="zenodo-10408334", simulated=False):
    """A card of scores given as (model, metric, value, sd, n)."""
    return ResultCard(
        chapter=chapter, dataset=dataset, simulated=simulated, claim="across animals", null="none: a test",
        scores=[Score(model=m, metric=metric, scope=f"mean of {n} folds", value=value, sd=sd, n=n)
                for m, metric, value, sd, n in scores],
        provenance=Provenance(data_hash="d", split_hash="s", code_version="v", seed=1, parameters={}, versions={}))


def stored(*cards):
    return [ledger.Stored(f"{i}.card.json", each) for i, each in enumerate(cards)]


def gru(value, chapter="10_roi_rnn", **changes):
    other = {"linear": value - 0.1} | changes.pop("others", {})
    rows = [("gru", "auc", value, 0.01, 20), *((name, "auc", v, 0.01, 20) for name, v in other.items())]
    return card(rows, chapter, **changes)


STUDY = """
studies:
  - {title: A, cite: a, dataset: zenodo-10408334, animals: 5, about: b, disagreements_title: c,
     disagreements: [{subject: s, paper: p, elsewhere: e, used: u}], groups: [{title: Fig 4, claims: [
       {where: 4E, claim: x,
        theirs: {table: paper_reported, where: {metric: auc, experiment: roi_rnn_architecture},
                 rows: {GRU: {model: GRU}}},
        ours: {chapter: 10_roi_rnn, scores: {GRU: gru, linear: linear}}, direction: [GRU > linear]}]}]}
"""


def decide(*cards, **changes):
    """Verdict and reason on the one claim of STUDY, with fields of the claim changed."""
    content = yaml.safe_load(STUDY)
    content["studies"][0]["groups"][0]["claims"][0] |= changes
    study = claims.parse(yaml.safe_dump(content)).studies[0]
    claim = study.groups[0].claims[0]
    ours, sound = (ledger.find(side, stored(*cards), study.dataset) if side else None
                   for side in (claim.ours, claim.sound))
    return ledger.verdict(claim, study, ours, sound)


# ---- the committed page


def test_the_committed_page_is_what_the_cards_and_claims_make():
    committed = (ROOT / "book" / ledger.PAGE).read_text(encoding="utf-8")
    assert committed == ledger.page(ledger.load_cards()), f"stale; run: {ledger.COMMAND}"


@pytest.mark.parametrize("study", PANELS)
def test_no_panel_and_no_claim_is_left_out(study):
    places = set()
    for its, claim in all_claims():
        if its.title.startswith(study):
            place = claim.where.replace("4A to 4D", "4A, 4B, 4C, 4D")
            places |= {place.replace(", ", ",")} | set(re.split(r"[, ]+", place))
    assert set(PANELS[study].split()) <= places


def test_every_row_has_a_verdict_of_the_vocabulary_and_says_where_ours_comes_from():
    text = (ROOT / "book" / ledger.PAGE).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| **") and line.count(" | ") == 4]
    assert len(rows) == len(all_claims())
    for row in rows:
        said = row.rsplit(" | ", 1)[1]
        assert any(said.startswith(f"**{word}**: ") for word in ledger.Verdict), row
        assert "not yet done" not in said or re.search(r"chapter \d\d", said)
        assert "(simulated)" not in said or re.search(r"\*\*simulated\*\*, \[chapter \d\d\]\(\d\d_\w+\)", said)


def test_links_lead_to_chapters_of_the_book():
    text = (ROOT / "book" / ledger.PAGE).read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+)\)", text)) <= set(CHAPTERS)
    assert "file: reproduction\n" in (ROOT / "_toc.yml").read_text()


def test_every_disagreement_of_paper_and_code_is_listed():
    first, second = claims.load().studies
    assert len(first.disagreements) == 21 and len(second.disagreements) >= 5
    assert len({d.subject for d in first.disagreements}) == 21


# ---- published numbers


def test_numbers_of_theirs_are_those_of_the_csv_files():
    """Read again with the standard library: same rows, mean and sample SD, printed on the page as such."""
    text = (ROOT / "book" / ledger.PAGE).read_text(encoding="utf-8")
    columns = {"paper_reported": "mean", "shap_roi_frame": "mean_abs_shap", "cutout_one_session": "importance",
               "roi_table": "mean_run_correlation", "shap_roi_by_fold": "sum_over_frames_mean_abs_shap"}
    spreads = {"paper_reported": "sd", "shap_roi_frame": "sd_across_folds"}
    checked = 0
    for _, claim in all_claims():
        table = claim.theirs.table
        for label, value in claim.theirs.values().items():
            where = claim.theirs.where | claim.theirs.rows[label]
            take = where.pop("take", "mean")
            with (TABLES / f"{table}.csv").open(encoding="utf-8", newline="") as file:
                rows = [r for r in csv.DictReader(file) if all(r[k] == str(v) for k, v in where.items())]
            found = [float(r[columns.get(table, "value")]) for r in rows]
            scale = 100 if table == "paper_reported" and rows[0]["unit"] == "percent" else 1
            wanted = min(found) if take == "min" else plain.fmean(found) / scale
            assert value.value == pytest.approx(wanted, rel=1e-12), (claim.where, label)
            if table in spreads:
                assert value.sd == pytest.approx(float(rows[0][spreads[table]]) / scale, rel=1e-12)
            elif len(found) > 1 and take == "mean":
                assert value.sd == pytest.approx(plain.stdev(found), rel=1e-9)
            assert f"{label} {wanted:.{claim.decimals}f}" in text
            checked += 1
    assert checked > 80


def test_no_number_of_a_published_table_is_typed_into_the_claims():
    """What looks like a score in claims.yaml would be a typed one; statements and disagreements are words."""
    content = yaml.safe_load((ROOT / "lib" / "decoding_book" / "claims.yaml").read_text())
    for study in content["studies"]:
        for group in study["groups"]:
            for claim in group["claims"]:
                words = claim["claim"] + claim.get("theirs", {}).get("stated", "")
                assert not re.search(r"\d\.\d{3}", words), claim["where"]
    assert "verdict" not in (ROOT / "lib" / "decoding_book" / "claims.yaml").read_text()


def test_published_numbers_have_the_order_that_their_claim_asserts():
    """Otherwise the claims file would misstate the study."""
    checked = 0
    for _, claim in all_claims():
        values = {label: v.value for label, v in claim.theirs.values().items()}
        for direction in claim.direction:
            if set(claims.labels(direction)) <= set(values):
                assert claims.holds(direction, values) == "holds", (claim.where, direction)
                checked += 1
    assert checked >= 15


def test_p_values_are_found_and_printed():
    text = (ROOT / "book" / ledger.PAGE).read_text(encoding="utf-8")
    known = published.table("rank_sum_check").set_index(["family", "group_a", "group_b"])["p_holm"]
    p = known["Fig4F", "GRU|preprocessed", "SimpleRNN|preprocessed"]
    assert f"p {p:.2g} (GRU, simple, Holm)" in text


# ---- references resolve


def test_every_chapter_named_exists():
    named = {chapter for _, claim in all_claims() for side in (claim.ours, claim.sound) if side
             for chapter in side.chapters}
    assert named and named <= set(CHAPTERS)


def test_every_score_asked_of_a_chapter_with_a_stored_card_is_there():
    assert ledger.unresolved(ledger.load_cards()) == []


def test_a_misspelt_score_is_named():
    known = claims.parse(STUDY)
    lines = ledger.unresolved(stored(card([("gru", "auc", 0.97, 0.01, 20)])), known)
    assert lines == ["4E: 0.card.json has no linear, auc, mean of folds"]
    assert ledger.unresolved(stored(gru(0.97)), known) == ledger.unresolved([], known) == []


@pytest.mark.parametrize(("old", "new", "said"), [
    ("model: GRU", "model: GRUU", "0 rows of paper_reported"), ("model: GRU", "modell: GRU", "modell"),
    ("table: paper_reported", "table: paper", "paper"), ("rows: {GRU: {model: GRU}}", "rows: {GRU: {}}", "6 rows"),
])
def test_a_reference_that_leads_nowhere_is_refused(old, new, said):
    claim = claims.parse(STUDY.replace(old, new)).studies[0].groups[0].claims[0]
    with pytest.raises(DataError, match=said):
        claim.theirs.values()


@pytest.mark.parametrize(("old", "new", "said"), [
    ("direction: [GRU > linear]", "direction: [GRU > liner]", "liner"), ("where: 4E", "wher: 4E", "wher"),
    ("ours: {chapter: 10_roi_rnn, scores: {GRU: gru, linear: linear}}, direction: [GRU > linear]", "", "neither"),
    ("direction: [GRU > linear]", "verdict: reproduced", "verdict"),
])
def test_claims_that_cannot_be_decided_are_refused(old, new, said):
    with pytest.raises(DataError, match=said):
        claims.parse(STUDY.replace(old, new))


# ---- the rule


def test_on_the_studys_own_recordings_values_within_the_tolerance_and_order_reproduce():
    mean, sd, _, _ = published.reported("roi_rnn_architecture", "GRU", "preprocessed")
    tolerance = sd / 5**0.5  # 0.0063: five animals, not 20 folds
    for value in (mean - 0.95 * tolerance, mean, mean + 0.95 * tolerance):
        assert decide(gru(value))[0] == "reproduced"
    for value in (mean - 1.05 * tolerance, mean + 1.05 * tolerance):
        word, reason = decide(gru(value))
        assert word == "differs" and "GRU is outside" in reason
    assert decide(gru(mean + 1.05 * tolerance), tolerance=0.01)[0] == "reproduced"


@pytest.mark.parametrize(("linear", "word", "said"), [(0.90, "reproduced", "holds"), (0.972, "differs", "undecided"),
                                                      (0.99, "differs", "does not hold")])
def test_on_the_studys_own_recordings_another_order_differs(linear, word, said):
    found = decide(gru(0.974, others={"linear": linear}))
    assert found[0] == word and said in found[1]


@pytest.mark.parametrize(("linear", "said"), [(0.90, "there the order holds"), (0.99, "does not hold")])
def test_simulated_data_never_reproduce_and_never_differ(linear, said):
    for dataset in ("simulated", "zenodo-10408334"):  # not even under the name of the study's recordings
        word, reason = decide(gru(0.974, others={"linear": linear}, dataset=dataset, simulated=True))
        assert word == "not comparable (simulated)" and said in reason
    assert "built so" in decide(gru(0.974, simulated=True, dataset="simulated"), built_in=True)[1]


def test_other_recordings_are_not_comparable():
    word, reason = decide(gru(0.974, dataset="isfn-widefield"))
    assert word == "not comparable (other recordings)" and "order holds" in reason


def test_without_a_card_or_with_half_of_one_it_is_not_yet_done():
    for cards in ((), (gru(0.974, chapter="11_windows_and_lags"),), (card([("gru", "auc", 0.974, 0.01, 20)]),)):
        word, reason = decide(*cards)
        assert word == "not yet done" and "chapter 10" in reason


def test_what_cannot_be_checked_stays_so_whatever_the_cards_say():
    assert decide(gru(0.974), no_check="not public") == ("cannot be checked", "not public")


def test_the_sound_protocol_is_reported_and_does_not_decide():
    side = {"chapter": "10_roi_rnn", "scores": {"GRU": "gru strict", "linear": "linear strict"}}
    cards = gru(0.974, others={"linear": 0.9, "gru strict": 0.8, "linear strict": 0.9})
    assert decide(cards, sound=side) == ("reproduced", "the order holds; under the sound protocol it does not hold")
    assert decide(cards, sound={"chapter": "10_roi_rnn", "scores": {"GRU": "gru strict"}})[1] == "the order holds"
    # ... except where a claim has no answer under the published protocol by design.
    assert decide(cards, ours=None, sound=side)[0] == "differs"


def test_the_studys_recordings_go_before_more_folds_and_more_folds_before_fewer():
    side = claims.Ours(chapter=["10_roi_rnn"], scores={"GRU": "gru"})

    def simulated(n):
        return card([("gru", "auc", 0.9, 0.01, n)], dataset="simulated", simulated=True)

    own = card([("gru", "auc", 0.97, 0.01, 2)])
    assert ledger.find(side, stored(simulated(20), own), "zenodo-10408334").scores["GRU"].value == 0.97
    assert ledger.find(side, stored(simulated(5), simulated(20)), "zenodo-10408334").scores["GRU"].n == 20
    assert ledger.find(side, stored(own), None).stored.card is own  # found, not comparable


def test_an_animal_tested_once_is_its_own_mean():
    """Cards hold a mean over test groups only where animals are tested more than once."""
    side = claims.Ours(chapter="10_roi_rnn", over="test groups", scores={"GRU": "gru"})
    once = card([("gru", "auc", 0.9, 0.01, 5)])
    groups = Score(model="gru", metric="auc", scope="mean of 5 test groups", value=0.8, n=5)
    often = once.model_copy(update={"scores": [groups, *once.scores]})
    assert ledger.find(side, stored(once), None).scores["GRU"].value == 0.9
    assert ledger.find(side, stored(often), None).scores["GRU"].value == 0.8


@pytest.mark.parametrize(("direction", "answer"), [
    ("a > b", "holds"), ("b > a", "does not hold"), ("a > b > c", "holds"), ("a > c > b", "does not hold"),
    ("a, b > c", "holds"), ("c > a, b", "does not hold"), ("b > d", "undecided"), ("d > b", "undecided"),
    ("b ~ d", "holds"), ("a ~ b", "does not hold"), ("a > 0.5", "holds"), ("-1 > c", "does not hold"),
])
def test_orders(direction, answer):
    assert claims.holds(direction, {"a": 0.9, "b": 0.7, "c": -0.2, "d": 0.698}) == answer


def test_a_difference_within_its_error_is_undecided():
    values = {"a": 0.9, "b": 0.8, "c": 0.7}

    def asked(direction, **errors):
        return claims.holds(direction, values, lambda a, b: errors.get(f"{a}{b}", errors.get(f"{b}{a}", 0)))

    assert asked("a > b > c", ab=0.09) == "holds"
    assert asked("a > b > c", ab=0.11) == asked("b > a", ab=0.11) == "undecided"
    assert asked("b > a", ab=0.09) == asked("c > a, b", ac=0.5, bc=0.09) == "does not hold"
    assert asked("a ~ b", ab=0.09) == "does not hold" and asked("a ~ b", ab=0.11) == "undecided"
    assert asked("a ~ b ~ c", ab=0.11, bc=0.11, ac=0.19) == "does not hold"


def singles(model, values, scope):
    return [Score(model=model, metric="auc", scope=scope.format(animal), value=value)
            for animal, value in enumerate(values, 1)]


@pytest.mark.parametrize("scope", ["animal {}", "fold test=mouse {},valid=mouse 9"])
def test_the_error_of_a_difference_is_that_of_the_paired_t_test(scope):
    one, other = np.random.default_rng(5).normal(0.8, 0.05, (2, 5))
    single = card([("gru", "auc", one.mean(), 0.05, 5), ("linear", "auc", other[:4].mean(), 0.05, 4)])
    single.scores.extend(singles("gru", one, scope) + singles("linear", other[:4], scope))
    side = claims.Ours(chapter="10_roi_rnn", scores={"GRU": "gru", "linear": "linear"})
    found = ledger.find(side, stored(single), None)
    paired = stats.ttest_rel(one[:4], other[:4])
    assert found.error("GRU", "linear") == pytest.approx((one[:4] - other[:4]).mean() / paired.statistic)
    assert found.error("linear", "GRU") == found.error("GRU", "linear")
    assert found.error("GRU", "0.5") == pytest.approx(stats.sem(one))


def test_folds_that_test_the_same_animal_count_as_one():
    folds = card([("gru", "auc", 0.8, 0.1, 6)])
    for valid, shift in ((8, -0.1), (9, 0.1)):
        scope = f"fold test=mouse {{}},valid=mouse {valid}"
        folds.scores.extend(singles("gru", np.array([0.7, 0.8, 0.9]) + shift, scope))
    found = ledger.Found(stored(folds)[0], {"GRU": folds.scores[0]})
    assert found.error("GRU", "0.5") == pytest.approx(stats.sem([0.7, 0.8, 0.9]))


@pytest.mark.parametrize(("linear", "said"), [
    ([0.70, 0.70, 0.71], "holds"), ([0.65, 1.00, 0.65], "undecided"),  # 0.10 ± 0.12
    ([0.70, 0.70], "undecided"), ([], "holds")])
def test_an_order_needs_three_animals_that_agree(linear, said):
    both = gru(0.9, others={"linear": 0.8}, simulated=True)
    both.scores.extend(singles("gru", [0.9] * len(linear), "animal {}") + singles("linear", linear, "animal {}"))
    assert f"the order {'is ' if said == 'undecided' else ''}{said}" in decide(both)[1]


def test_the_weakest_of_several_orders_counts():
    values = {"a": 0.9, "b": 0.898, "c": 0.5}
    assert claims.all_hold(["a > c"], values) == "holds"
    assert claims.all_hold(["a > c", "a > b"], values) == "undecided"
    assert claims.all_hold(["a > b", "c > a"], values) == "does not hold"


# ---- the page from made cards


def test_a_page_of_made_cards_shows_values_data_and_the_versions_of_the_code():
    text = ledger.page(stored(gru(0.9712, dataset="simulated", simulated=True)), claims.parse(STUDY))
    assert "GRU 0.971" in text and "(20 folds)" in text and "on simulated, **simulated**" in text
    assert "`0.card.json`" in text and "| v |" in text
    assert "| **not comparable (simulated)** | 1 |" in text and "| **reproduced** | 0 |" in text
    assert text == ledger.page(stored(gru(0.9712, dataset="simulated", simulated=True)), claims.parse(STUDY))


def test_the_command_writes_the_page_and_names_scores_that_no_card_holds(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    page, folder = checkout / "book" / ledger.PAGE, checkout / "book" / "stored"
    page.unlink()
    for path in folder.glob("*.card.json"):
        path.unlink()
    assert cli.main(["book", "ledger"]) == 0
    assert page.read_text(encoding="utf-8") == ledger.page([]) and "| **not yet done** |" in ledger.page([])
    gru(0.97, dataset="simulated", simulated=True).save(folder / "10_roi_rnn.card.json")
    assert cli.main(["book", "ledger"]) == 1
    assert "4F: 10_roi_rnn.card.json has no lstm, auc, mean of folds" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == ledger.page(ledger.load_cards(folder))
