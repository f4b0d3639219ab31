"""The ledger: nothing left out, published numbers as in their tables, verdicts by rule on cards made here."""

import csv
import json
import re
import statistics as plain
from itertools import combinations, pairwise, product
from math import inf

import numpy as np
import pytest
import yaml
from scipy import stats

from calcium_decoding import cli
from calcium_decoding.data import published
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import Provenance, ResultCard, Score, stored_cards
from decoding_book import answers, claims, ledger
from decoding_book.parameters import CHAPTERS
from tests.conftest import ROOT

TABLES = ROOT / "lib" / "calcium_decoding" / "data" / "published"
PANELS = {
    "Ajioka": "1A 1B 1C 2A 2B 2C 2D 2E 2F 3 3B 4A 4B 4C 4D 4E 4F 5A 5B 5C 6A 6B 6C 6D 6E 6F "
              "S1 S2 S3 S4 S5A S5B S5C S5D S5E S6",
    "Mirzaee": "abstract summary,1 summary,2 summary,3 summary,4 LSTM,002 LSTM,003 LSTM,009 LSTM,010",
}
GLUE = "\N{NO-BREAK SPACE}"


def committed_page():
    return (ROOT / "book" / ledger.PAGE).read_text(encoding="utf-8").replace(GLUE, " ")


def all_claims():
    return [(study, claim) for study in claims.load().studies for group in study.groups for claim in group.claims]


THEIRS = {"epochs": 30, "learning_rate": 0.001}


def card(scores, chapter="10_roi_rnn", dataset="zenodo-10408334", simulated=False, parameters=THEIRS, kept=True):
    """A card of scores given as (model, metric, value, sd, n), all of trainings that converged; not ``kept``: it does
    not say so."""
    scores = [*scores, *((m, "converged", 1, None, 0) for m in dict.fromkeys(row[0] for row in scores) if kept)]
    return ResultCard(
        chapter=chapter, dataset=dataset, simulated=simulated, claim="across animals", null="none: a test",
        scores=[Score(model=m, metric=metric, scope=f"mean of {n} folds", value=value, sd=sd, n=n)
                for m, metric, value, sd, n in scores],
        provenance=Provenance(data_hash="d", split_hash="s", code_version="v", seed=1, parameters=parameters,
                              versions={}))


def stored(*cards):
    return {f"{i}.card.json": each for i, each in enumerate(cards)}


def gru(value, chapter="10_roi_rnn", **changes):
    other = {"linear": value - 0.1} | changes.pop("others", {})
    rows = [("gru", "auc", value, 0.01, 20), *((name, "auc", v, 0.01, 20) for name, v in other.items())]
    return card(rows, chapter, **changes)


STUDY = """
studies:
  - {title: A, cite: a, dataset: zenodo-10408334, animals: 5, about: b, disagreements_title: c,
     protocols: [{chapters: [10_roi_rnn, 11_windows_and_lags], about: x, sessions: 64, frames: 18000, folds: 20,
       parameters: {epochs: [30, "{} epochs"], learning_rate: [0.001, "rate {}"], train_every: [[1, null], "1 in {}"]},
       brief: [epochs]}],
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
    ours, sound = (answers.find(side, stored(*cards), study)[0] if side else None
                   for side in (claim.ours, claim.sound))
    return ledger.verdict(claim, study, ours, sound)


def find(side, cards, dataset=None):
    """What answers best, for a study without a protocol."""
    study = claims.parse(STUDY).studies[0].model_copy(update={"dataset": dataset, "protocols": []})
    return answers.find(side, cards, study)[0]


# ---- the committed page


def test_the_committed_page_is_what_the_cards_and_claims_make():
    assert committed_page() == ledger.page(stored_cards()).replace(GLUE, " "), f"stale; run: {ledger.COMMAND}"


@pytest.mark.parametrize("study", PANELS)
def test_no_panel_and_no_claim_is_left_out(study):
    places = set()
    for its, claim in all_claims():
        if its.title.startswith(study):
            place = claim.where.replace("4A to 4D", "4A, 4B, 4C, 4D")
            places |= {place.replace(", ", ",")} | set(re.split(r"[, ]+", place))
    assert set(PANELS[study].split()) <= places


def test_every_claim_has_a_row_with_a_verdict_or_stands_among_those_that_cannot_be_checked():
    text, tested = committed_page(), [claim for _, claim in all_claims() if not claim.no_check]
    rows = [line for line in text.splitlines() if line.startswith("| <span")]
    assert len(rows) == len(tested) and all(row.count(" | ") == 3 for row in rows)
    for row in rows:
        said, ours = row.split(" | ")[1], row.split(" | ")[3]
        assert any(said.startswith(f"**{word}**<br>") for word in ledger.Verdict), row
        assert "not yet done" not in said or re.search(r"chapter \d\d", said)
        assert "simulated" not in said or re.search(r"\*\*simulated\*\*, \[chapter \d\d\]\(\d\d_\w+\)", ours)
        assert re.search(r"\*(their protocol|their training|shortened|sound protocol(, shortened)?)\*: ", ours), row
    for _, claim in all_claims():
        assert text.count(f"</span>**{claim.where}**") == 1
        together = rf"cannot be checked\*\* \({claim.no_check}\).*\*\*{claim.where}\*\*"
        assert not claim.no_check or re.search(together, text)


def test_the_matrix_has_every_claim_once_under_its_verdict():
    text = committed_page()
    matrix = re.search(r"^\| figure \| .+?(?=\n[^|])", text, re.MULTILINE | re.DOTALL)[0].splitlines()
    head, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in matrix]
    linked = {}
    for line in lines[1:-1]:
        for word, cell in zip(head[1:], line[1:], strict=True):
            linked |= dict.fromkeys(re.findall(r'href="#([\w-]+)"', cell), word)
    rows = re.findall(r'^\| <span id="([\w-]+)"></span>.*? \| \*\*(.+?)\*\*<br>', text, re.MULTILINE)
    assert dict(rows).items() <= linked.items() and {*linked} <= {*re.findall('id="([^"]+)"', text)}
    assert {word for anchor, word in linked.items() if anchor not in dict(rows)} == {"cannot be checked"}
    counts = [int(cell.strip("*")) for cell in lines[-1][1:]]
    assert sum(counts) == len(all_claims())
    for word, count in zip(head[1:], counts, strict=True):
        assert word == "cannot be checked" or count == [said for _, said in rows].count(word)


def test_links_lead_to_chapters_of_the_book():
    assert set(re.findall(r"\]\((\w+)\)", committed_page())) <= set(CHAPTERS)
    assert "file: reproduction\n" in (ROOT / "_toc.yml").read_text()


def test_every_disagreement_of_paper_and_code_is_listed():
    first, second = claims.load().studies
    assert len(first.disagreements) == 21 and len(second.disagreements) >= 5
    assert len({d.subject for d in first.disagreements}) == 21


# ---- published numbers


def test_numbers_of_theirs_are_those_of_the_csv_files():
    """Read again with the standard library: same rows, mean and sample SD, printed on the page as such."""
    text = committed_page()
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
        for order in claim.direction:
            if set(claims.labels(order)) <= set(values):
                assert claims.part(order, values, slack=claim.slack(order)).answer == "holds", (claim.where, order)
                checked += 1
    assert checked >= 30


def test_only_what_the_study_found_not_significant_widens_what_is_level():
    wider = {(claim.where, order): claim.slack(order) for _, claim in all_claims() for order in claim.direction
             if re.search("~|>=", order) and claim.slack(order) > claims.LEVEL}
    assert wider == {("4F", "GRU ~ two-way LSTM"): pytest.approx(0.974 - 0.960)}
    text = STUDY.replace("rows: {GRU: {model: GRU}}}", """rows: {GRU: {model: GRU}, linear: {model: SimpleRNN}},
        p: {"GRU, linear": {family: Fig4F, group_a: GRU|preprocessed, group_b: SimpleRNN|preprocessed}}}""")
    claim = claims.parse(text).studies[0].groups[0].claims[0]
    assert claim.slack("GRU ~ linear") == claims.LEVEL  # 0.021 apart, p 0.042


def test_p_values_are_those_of_the_study_s_own_family_and_printed():
    text = committed_page()
    known = published.table("rank_sum_check").set_index(["family", "group_a", "group_b"])
    row = known.loc[("Fig4F", "GRU|preprocessed", "SimpleRNN|preprocessed")]
    assert row["family_size"] == 15 and f"p {row['p_holm']:.2g} (GRU, simple)" in text
    row = known.loc[("Fig5B", "GRU|half_window_5_frames", "GRU|half_window_10_frames")]
    assert f"p {row['p_holm']:.2g} (0.17 s, 0.33 s)" in text and row["p_holm"] > 0.1


def test_every_accuracy_the_first_author_stored_is_on_the_page():
    runs = published.table("paper2_author_runs").query("metric == 'accuracy'")
    runs = runs[runs["task"].isin(["multiclass", "contralateral", "ipsilateral"])]
    said = [value.value for _, claim in all_claims() if claim.no_check and claim.theirs.rows
            for value in claim.theirs.values().values()]
    assert sorted(said) == pytest.approx(sorted(runs["value"])) and len(said) == 39


# ---- references resolve


def test_every_chapter_named_exists():
    named = {chapter for _, claim in all_claims() for side in (claim.ours, claim.sound) if side
             for chapter in side.chapters}
    assert named and named <= set(CHAPTERS)


def test_every_score_asked_of_a_chapter_with_a_stored_card_is_there():
    assert ledger.unresolved(stored_cards()) == []


def test_a_misspelt_score_is_named():
    known = claims.parse(STUDY)
    lines = ledger.unresolved(stored(card([("gru", "auc", 0.97, 0.01, 20)])), known)
    assert lines == ["4E: 0.card.json has no linear, auc, mean of folds"]
    assert ledger.unresolved(stored(gru(0.97)), known) == ledger.unresolved({}, known) == []


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
    assert found == (word, f"{ledger.MARKS[said]} GRU > linear")


@pytest.mark.parametrize(("linear", "said"), [(0.90, "holds"), (0.972, "undecided"), (0.99, "does not hold")])
def test_simulated_data_never_reproduce_and_never_differ(linear, said):
    for dataset in ("simulated", "zenodo-10408334"):  # not even under the name of the study's recordings
        word, reason = decide(gru(0.974, others={"linear": linear}, dataset=dataset, simulated=True))
        assert word == f"simulated: {said}" and reason == f"{ledger.MARKS[said]} GRU > linear"
    assert "built so" in decide(gru(0.974, simulated=True, dataset="simulated"), built_in=True)[1]
    assert decide(gru(0.974, simulated=True), direction=[]) == ("simulated: values only", "")


def test_other_recordings_are_not_comparable():
    word, reason = decide(gru(0.974, dataset="isfn-widefield"))
    assert word == "not comparable (other recordings)" and reason.startswith("there: holds<br>")


def test_the_study_s_own_recordings_in_a_shortened_training_are_not_comparable():
    for value in (0.974, 0.9):
        word, reason = decide(gru(value, parameters=THEIRS | {"epochs": 2}))
        assert word == "not comparable (shortened)" and reason.startswith("there: holds<br>")


def test_every_part_of_a_claim_is_tested_and_named():
    values = {"linear": 0.972, "third": 0.99}
    side = {"chapter": "10_roi_rnn", "scores": {"GRU": "gru", "linear": "linear", "third": "third"}}
    asked = {"ours": side, "direction": ["GRU > 0.5", "GRU > linear", "GRU > third"]}
    cards = gru(0.974, others=values, simulated=True)
    assert decide(cards, **asked) == ("simulated: does not hold", "✓ GRU > 0.5<br>? GRU > linear<br>✗ GRU > third")
    assert decide(cards, **asked | {"direction": asked["direction"][:2]})[0] == "simulated: undecided"


def flagged(value, *, model="linear", **how):
    """A card that says how many folds of a model had converged."""
    made = gru(0.974, others={"linear": 0.9}, **how)
    made.scores[:] = [s for s in made.scores if (s.model, s.metric) != (model, "converged")]
    made.scores.append(Score(model=model, metric="converged", scope="mean of 5 folds", value=value, n=5))
    return made


@pytest.mark.parametrize("simulated", [True, False])
def test_a_training_that_had_not_converged_has_no_verdict(simulated):
    how = {"simulated": simulated, "dataset": "simulated" if simulated else "zenodo-10408334"}
    assert decide(flagged(0.8, **how)) == (
        "not converged", "not trained to the end: linear")
    assert decide(flagged(1.0, **how)) == decide(flagged(0.8, model="third", **how)) == decide(
        gru(0.974, others={"linear": 0.9}, **how))
    # One that the orders do not need says so beside its value, and does not decide.
    side = {"chapter": "10_roi_rnn", "scores": {"GRU": "gru", "linear": "linear"}}
    assert decide(flagged(0.8, **how), ours=side, direction=["GRU > 0.5"])[0] != "not converged"
    text = ledger.page(stored(flagged(0.8, **how)), claims.parse(STUDY))
    assert "**not converged**: linear" in text and "| **not converged**<br>" in text
    assert "GRU less linear" not in text  # no difference of such trainings is printed
    assert "GRU less linear" in ledger.page(stored(flagged(1.0, **how)), claims.parse(STUDY))


def test_a_short_training_whose_losses_were_not_kept_has_no_verdict_but_a_linear_decoder_and_their_own_has():
    short = {"parameters": THEIRS | {"epochs": 2}, "kept": False}
    assert decide(gru(0.974, **short)) == (
        "not converged", "a short training, whose losses the card lacks: GRU")  # "linear" is linear
    assert decide(gru(0.974, kept=False))[0] == "reproduced"
    assert decide(gru(0.974, **short | {"parameters": {"n_blocks": 5}}))[0] != "not converged"  # nothing is trained
    older = gru(0.974, **short, dataset="simulated", simulated=True)
    text = ledger.page(stored(older), claims.parse(STUDY))
    assert "**simulated**, older world, [chapter 10](10_roi_rnn); **not converged**: GRU" in text
    newer = gru(0.974, dataset="simulated", simulated=True)
    assert "older world, [" not in ledger.page(stored(newer), claims.parse(STUDY))
    side = {"chapter": "10_roi_rnn", "scores": {"linear": "linear"}}
    assert decide(gru(0.974, **short), ours=side, direction=["linear > 0.5"])[0] == "not comparable (shortened)"


def test_what_converged_goes_before_what_did_not():
    side = claims.Ours(chapter="10_roi_rnn", scores={"GRU": "gru", "linear": "linear"})
    good = gru(0.9, simulated=True)
    assert find(side, stored(flagged(0.0, simulated=True), good)).card is good


def test_what_does_not_answer_a_claim_says_why_and_shows_its_values():
    assert decide(gru(0.974), unanswered="trivial") == ("not answered", "trivial")
    text = STUDY.replace("direction: [GRU > linear]", "unanswered: trivial")
    assert "| **not answered**<br>trivial | GRU 0.974 | GRU 0.970; linear 0.870<br>" in ledger.page(
        stored(gru(0.97)), claims.parse(text)).replace(GLUE, " ")


def test_without_a_card_or_with_half_of_one_it_is_not_yet_done():
    for cards in ((), (gru(0.974, chapter="11_windows_and_lags"),), (card([("gru", "auc", 0.974, 0.01, 20)]),)):
        word, reason = decide(*cards)
        assert word == "not yet done" and "chapter 10" in reason


def test_what_cannot_be_checked_stays_so_whatever_the_cards_say():
    assert decide(gru(0.974), no_check="not public") == ("cannot be checked", "not public")


def test_the_sound_protocol_is_reported_and_does_not_decide():
    side = {"chapter": "10_roi_rnn", "scores": {"GRU": "gru strict", "linear": "linear strict"}}
    cards = gru(0.974, others={"linear": 0.9, "gru strict": 0.8, "linear strict": 0.9})
    assert decide(cards, sound=side) == ("reproduced", "✓ GRU > linear<br>sound protocol: does not hold")
    assert decide(cards, sound={"chapter": "10_roi_rnn", "scores": {"GRU": "gru strict"}})[1] == "✓ GRU > linear"
    # ... except where a claim has no answer under the published protocol by design.
    assert decide(cards, ours=None, sound=side)[0] == "differs"


def test_the_studys_recordings_go_before_more_folds_and_more_folds_before_fewer():
    side = claims.Ours(chapter=["10_roi_rnn"], scores={"GRU": "gru"})

    def simulated(n, dataset="simulated"):
        return card([("gru", "auc", 0.9, 0.01, n)], dataset=dataset, simulated=True)

    own = card([("gru", "auc", 0.97, 0.01, 2)])
    assert find(side, stored(simulated(20), own), "zenodo-10408334").scores["GRU"].value == 0.97
    assert find(side, stored(simulated(5), simulated(20)), "zenodo-10408334").scores["GRU"].n == 20
    large = simulated(5, "simulated-study")
    assert find(side, stored(simulated(20), large)).card is large  # more frames before more folds
    assert find(side, stored(own)).card is own  # found, not comparable
    cards = {"10_roi_rnn.csv": simulated(5), "10_roi_rnn.card.json": simulated(20)}
    assert find(side.model_copy(update={"source": "10_roi_rnn.csv"}), cards).name == "10_roi_rnn.csv"


def test_an_animal_tested_once_is_its_own_mean():
    """Cards hold a mean over test groups only where animals are tested more than once."""
    side = claims.Ours(chapter="10_roi_rnn", over="test groups", scores={"GRU": "gru"})
    once = card([("gru", "auc", 0.9, 0.01, 5)])
    groups = Score(model="gru", metric="auc", scope="mean of 5 test groups", value=0.8, n=5)
    often = once.model_copy(update={"scores": [groups, *once.scores]})
    assert find(side, stored(once)).scores["GRU"].value == 0.9
    assert find(side, stored(often)).scores["GRU"].value == 0.8


@pytest.mark.parametrize(("direction", "answer"), [
    ("a > b", "holds"), ("b > a", "does not hold"), ("a > b > c", "holds"), ("a > c > b", "does not hold"),
    ("a, b > c", "holds"), ("c > a, b", "does not hold"), ("b > d", "undecided"), ("d > b", "undecided"),
    ("b ~ d", "holds"), ("a ~ b", "does not hold"), ("a > 0.5", "holds"), ("-1 > c", "does not hold"),
    ("a >= b", "holds"), ("d >= b", "holds"), ("b >= a", "does not hold"), ("a, b >= d", "holds"),
    ("d, c >= b", "does not hold"), ("0.7 >= b", "holds"), ("0.68 >= b", "does not hold"),
])
def test_orders(direction, answer):
    assert claims.part(direction, {"a": 0.9, "b": 0.7, "c": -0.2, "d": 0.698}).answer == answer


def test_a_difference_within_its_error_is_undecided():
    values = {"a": 0.9, "b": 0.8, "c": 0.7}

    def asked(direction, **errors):
        return claims.part(direction, values, lambda a, b: errors.get(f"{a}{b}", errors.get(f"{b}{a}", 0))).answer

    assert asked("a > b > c", ab=0.09) == "holds"
    assert asked("a > b > c", ab=0.11) == asked("b > a", ab=0.11) == "undecided"
    assert asked("b > a", ab=0.09) == asked("c > a, b", ac=0.5, bc=0.09) == "does not hold"
    assert asked("a ~ b", ab=0.09) == "does not hold" and asked("a ~ b", ab=0.11) == "undecided"
    assert asked("a ~ b ~ c", ab=0.11, bc=0.11, ac=0.19) == "does not hold"
    assert asked("b >= a", ab=0.11) == "undecided" and asked("b >= a", ab=0.09) == "does not hold"


def test_the_pair_that_decides_is_the_one_furthest_from_what_is_asked():
    values = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.95}
    assert claims.part("a, b > c, d", values) == ("a, b > c, d", "does not hold", ("b", "d"), pytest.approx(-0.15), 0)
    assert claims.part("a > b, c", values).pair == ("a", "b")
    assert claims.part("a ~ b ~ c", values).pair == ("a", "c") and claims.part("d >= a, b", values).pair == ("d", "a")


def singles(model, values, scope):
    return [Score(model=model, metric="auc", scope=scope.format(animal), value=value)
            for animal, value in enumerate(values, 1)]


@pytest.mark.parametrize("scope", ["animal {}", "fold test=mouse {},valid=mouse 9"])
def test_the_error_of_a_difference_is_half_the_interval_of_the_paired_t_test(scope):
    one, other = np.random.default_rng(5).normal(0.8, 0.05, (2, 5))
    single = card([("gru", "auc", one.mean(), 0.05, 5), ("linear", "auc", other[:4].mean(), 0.05, 4)])
    single.scores.extend(singles("gru", one, scope) + singles("linear", other[:4], scope))
    side = claims.Ours(chapter="10_roi_rnn", scores={"GRU": "gru", "linear": "linear"})
    found = find(side, stored(single))
    interval = stats.ttest_rel(one[:4], other[:4]).confidence_interval(0.95)
    assert found.error("GRU", "linear") == pytest.approx((interval.high - interval.low) / 2)
    assert found.error("linear", "GRU") == found.error("GRU", "linear")
    assert found.error("GRU", "0.5") == pytest.approx(stats.sem(one) * stats.t.ppf(0.975, 4))


def test_folds_that_test_the_same_animal_count_as_one():
    folds = card([("gru", "auc", 0.8, 0.1, 6)])
    for valid, shift in ((8, -0.1), (9, 0.1)):
        scope = f"fold test=mouse {{}},valid=mouse {valid}"
        folds.scores.extend(singles("gru", np.array([0.7, 0.8, 0.9]) + shift, scope))
    found = answers.Found("0", folds, {"GRU": folds.scores[0]}, claims.Done(2, ""))
    assert found.error("GRU", "0.5") == pytest.approx(stats.sem([0.7, 0.8, 0.9]) * stats.t.ppf(0.975, 2))


@pytest.mark.parametrize(("linear", "said"), [
    ([0.70, 0.70, 0.71], "holds"), ([0.65, 1.00, 0.65], "undecided"),  # 0.13 ± 0.50
    ([0.70, 0.70], "undecided"), ([], "holds")])
def test_an_order_needs_three_animals_that_agree(linear, said):
    both = gru(0.9, others={"linear": 0.8}, simulated=True)
    both.scores.extend(singles("gru", [0.9] * len(linear), "animal {}") + singles("linear", linear, "animal {}"))
    assert decide(both)[0] == f"simulated: {said}"


# ---- what may be called their protocol


@pytest.mark.parametrize(("changes", "level", "said"), [
    ({}, 0, "30 epochs, 64 × 18,000 frames, 20 of 20 folds"), ({"train_every": 1}, 0, "30 epochs"),
    ({"folds": [5]}, 1, "5 of 20 folds"), ({"folds": [5, 20]}, 1, "5 or 20 of 20 folds"),
    ({"epochs": 2}, 2, "2 epochs"), ({"learning_rate": 0.01}, 2, "rate 0.01"), ({"train_every": 4}, 2, "1 in 4"),
    ({"recorded": (20, 18000)}, 2, "20 × 18,000 frames"), ({"recorded": (64, 3600)}, 2, "64 × 3,600 frames"),
    ({"recorded": None}, 2, "frames not known"), ({"epochs": None}, 2, "epochs not known"),
])
def test_their_protocol_is_said_only_where_nothing_differs(changes, level, said):
    how = {"recorded": (64, 18000), "folds": [20]} | THEIRS | changes
    protocol = claims.parse(STUDY).studies[0].protocols[0]
    done = protocol.done({name: how[name] for name in how if name not in ("recorded", "folds")}, how["recorded"],
                         how["folds"])
    assert done.level == level and said in done.numbers
    assert done.name == ("their protocol", "their training", "shortened")[level] and bool(done.differs) == (level == 2)


def test_the_frames_of_simulated_sets_are_those_of_the_manifest():
    side = claims.Ours(chapter="10_roi_rnn", scores={"GRU": "gru", "linear": "linear"})
    study = claims.parse(STUDY).studies[0]
    for dataset, level, said in (("simulated-study", 0, "64 × 18,000 frames"), ("simulated", 2, "20 × 3,600 frames"),
                                 ("simulated-small", 2, "6 × 2,100 frames"), ("isfn-widefield", 2, "frames not known")):
        found = answers.find(side, stored(gru(0.9, dataset=dataset, simulated=True)), study)[0]
        assert (found.done.level, said in found.done.numbers) == (level, True)
    assert answers.find(side, stored(gru(0.9, chapter="12_regions", dataset="simulated-study")), study)[0] is None
    other = claims.Ours(chapter="12_regions", scores={"GRU": "gru"})
    assert answers.find(other, stored(gru(0.9, chapter="12_regions")), study)[0].done.level == 2  # no protocol known


def test_what_was_trained_as_published_stands_in_its_row_told_apart_from_what_was_not():
    short = gru(0.95, dataset="simulated", simulated=True, parameters=THEIRS | {"epochs": 2})
    full = card([("gru", "auc", 0.99, 0.01, 5)], dataset="simulated-study", simulated=True)
    row = next(line for line in ledger.page(stored(short, full), claims.parse(STUDY)).replace(GLUE, " ").splitlines()
               if line.startswith("| <span"))
    assert "GRU 0.950; linear 0.850<br>*shortened*: 2 epochs, 20 × 3,600 frames, 20 of 20 folds; " in row
    assert "<br>GRU 0.990<br>*their training*: 30 epochs, 64 × 18,000 frames, 5 of 20 folds; " in row
    # It goes first where it answers all, though it has fewer folds.
    side = claims.Ours(chapter="10_roi_rnn", scores={"GRU": "gru"})
    assert answers.find(side, stored(short, full), claims.parse(STUDY).studies[0])[0].card is full


def test_the_page_calls_nothing_published_whose_card_says_otherwise():
    """From the cards' files alone: 30 epochs of the published batches, at the published rate, on data of full size."""
    called = re.findall(r"\*(their (?:protocol|training))\*: (.+?)`([\w.-]+\.card\.json)`", committed_page())
    assert {name for *_, name in called} == {"10_roi_rnn.simulated-study.card.json"}
    for word, numbers, name in called:
        content = json.loads((ROOT / "book" / "stored" / name).read_text())
        has = content["provenance"]["parameters"]
        assert content["dataset"] in ("zenodo-10408334", "simulated-study")
        assert (has["epochs"], has["min_updates"], has["batch_size"], has["learning_rate"]) == (30, 0, 256, 0.001)
        folds = int(re.search(r"(\d+) of 20 folds", numbers)[1])
        assert has["folds"] == folds and word == ("their protocol" if folds == 20 else "their training")
    row = next(line for line in committed_page().splitlines() if line.startswith('| <span id="ajioka2024-4e"'))
    assert re.search(
        r"\*shortened\*: \d+ epochs.*<br>GRU 0\.997; logistic 0\.797<br>\*their training\*: 30 epochs", row)


# ---- verdicts again, from the numbers on the page


def asked_of():
    """The side that answers each claim, and its orders, from the raw YAML, by anchor of its row."""
    content = yaml.safe_load((ROOT / "lib" / "decoding_book" / "claims.yaml").read_text(encoding="utf-8"))
    return {f"{study['cite']}-" + re.sub(r"\W+", "-", claim["where"].lower()):
            (claim["where"], claim.get("ours", claim.get("sound")), claim.get("direction", []))
            for study in content["studies"] for group in study["groups"] for claim in group["claims"]}


def stored_error(name, side, a, b):
    """Half the 95 % interval of a difference over animals, from the file of a card."""
    scores, by_animal = json.loads((ROOT / "book" / "stored" / name).read_text())["scores"], []
    for label in (a, b):
        if label in side["scores"]:
            of = side["scores"][label]
            model, metric = (of["model"], of["metric"]) if isinstance(of, dict) else (of, side.get("metric", "auc"))
            values = {}
            for s in scores:
                if (s["model"], s["metric"]) == (model, metric) and re.match("animal |fold test=", s["scope"]):
                    animal = re.sub("^(animal |fold test=)", "", s["scope"]).split(",")[0]
                    values.setdefault(animal, []).append(s["value"])
            by_animal.append({animal: plain.fmean(mine) for animal, mine in values.items()})
    if not all(by_animal):
        return 0
    gaps = [by_animal[0][k] - (by_animal[1][k] if len(by_animal) > 1 else 0) for k in by_animal[0]
            if len(by_animal) == 1 or k in by_animal[1]]
    return stats.t.ppf(0.975, len(gaps) - 1) * plain.stdev(gaps) / len(gaps)**0.5 if len(gaps) > 2 else inf


def possible(order, values, error, level, rounding):
    """Answers that rounded values allow."""
    found, numbers = set(), lambda word: values[word] if word in values else float(word)
    steps = re.findall("~|>=|>", order)
    sides = [[word.strip() for word in side.split(",")] for side in re.split("~|>=|>", order)]
    pairs = combinations(sides, 2) if "~" in steps else pairwise(sides)
    pairs = [pair for left, right in pairs for pair in product(left, right)]
    for moved in (-rounding, 0, rounding):
        words = set()
        for a, b in pairs:
            gap, sure = numbers(a) - numbers(b) + moved, error(a, b)
            if "~" in steps:
                gap = abs(numbers(a) - numbers(b)) + moved
                words.add("✓" if gap <= level(a, b) else "?" if gap <= sure else "✗")
            elif ">=" in steps:
                words.add("✓" if -gap <= level(a, b) else "?" if -gap <= sure else "✗")
            else:
                words.add("?" if abs(gap) <= max(sure, 0.005) else "✓" if gap > 0 else "✗")
        found.add(next(mark for mark in "✗?✓" if mark in words))
    return found


def contradictions(text):
    """Places of rows whose verdict is not what the numbers printed in them say, and how many orders were sure."""
    asked, wrong, sure = asked_of(), [], 0
    for anchor, said, _, ours in re.findall(r'^\| <span id="([\w-]+)"></span>.*? \| (.*?) \| (.*?) \| (.*) \|$', text,
                                            re.MULTILINE):
        where, side, orders = asked[anchor]
        word, *lines = said.split("<br>")
        marks = [line.split(" ", 1) for line in lines if line[0] in "✓?✗"]
        if word in ("**not answered**", "**not yet done**", "**not converged**"):
            continue
        if [order for _, order in marks] != orders:
            wrong.append(where)
            continue
        printed = dict(item.rsplit(" ", 1) for item in ours.split("<br>")[0].split("; "))
        values = {label: float(value) for label, value in printed.items()}
        rounding = 1.01 * 10.0**-len(next(iter(printed.values())).partition(".")[2])
        details = re.search(rf"^- \*\*{re.escape(where)}\*\*: .*?(?=^- \*\*|^:::)", text, re.MULTILINE | re.DOTALL)[0]
        name = re.search(r"^  - ours: .*?`(.+?)`", details, re.MULTILINE)[1]
        theirs = dict(re.findall(r"(?:theirs: |; )(?=\D)([^;]+?) (-?\d+\.\d+)(?= ±|;|$)",
                                 details.splitlines()[1].replace("  - ", "")))
        p = {label: float(value) for value, label in re.findall(r"p ([\d.e-]+) \(([^)]*)\)", details)}

        def level(a, b, p=p, theirs=theirs):
            same = max(p.get(f"{a}, {b}", 0), p.get(f"{b}, {a}", 0)) >= 0.05
            return max(0.01, abs(float(theirs[a]) - float(theirs[b])) if same else 0) + 1e-9

        for mark, order in marks:
            may = possible(order, values, lambda a, b, n=name, s=side: stored_error(n, s, a, b), level, rounding)
            sure += len(may) == 1
            if mark not in may:
                wrong.append(where)
        weakest = next((mark for mark in "✗?✓" if mark in [m for m, _ in marks]), "")
        means = {"✓": "holds", "?": "undecided", "✗": "does not hold", "": "values only"}[weakest]
        if word.startswith("**simulated: ") and word != f"**simulated: {means}**":
            wrong.append(where)
        if (word == "**reproduced**" and means in ("undecided", "does not hold")) or (
                "not comparable" in word and lines[0] != f"there: {means}"):
            wrong.append(where)
    return wrong, sure


def test_no_row_contradicts_its_verdict():
    wrong, sure = contradictions(committed_page())
    assert wrong == [] and sure >= 9  # as many as rows with a verdict allow


@pytest.mark.parametrize(("row", "old", "new"), [
    ("6D", "**simulated: does not hold**", "**simulated: holds**"), ("6D", "✗ FLa&HLa >= all", "✓ FLa&HLa >= all"),
    ("6D", "<br>✗ FLa&HLa >= all 50", ""), ("6D", "FLa&HLa 0.957", "FLa&HLa 0.997"),
    ("1C", "mouse 5 0.79", "mouse 5 0.49"), ("6F", "M2&M1 0.854", "M2&M1 0.999"),
    ("testing, scaling", "✓ training frames", "✗ training frames"),
])
def test_a_row_that_contradicts_its_verdict_is_found(row, old, new):
    lines = committed_page().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("| <span") and f"</span>**{row}**" in line)
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new, 1)
    assert {*contradictions("\n".join(lines))[0]} == {row}


# ---- the page from made cards


def test_a_page_of_made_cards_shows_values_data_and_the_versions_of_the_code():
    text = ledger.page(stored(gru(0.9712, dataset="simulated", simulated=True)), claims.parse(STUDY))
    assert "GRU\N{NO-BREAK SPACE}0.971" in text and "over 20 folds" in text and "; **simulated**, [chapter 10]" in text
    assert "`0.card.json`" in text and "| v |" in text
    assert "| figure | simulated: holds |" in text and "- **reproduced** (0)" in text
    assert text == ledger.page(stored(gru(0.9712, dataset="simulated", simulated=True)), claims.parse(STUDY))


def test_the_command_writes_the_page_and_names_scores_that_no_card_holds(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    page, folder = checkout / "book" / ledger.PAGE, checkout / "book" / "stored"
    page.unlink()
    for path in folder.glob("*.card.json"):
        path.unlink()
    assert cli.main(["book", "ledger"]) == 0
    assert page.read_text(encoding="utf-8") == ledger.page({}) and "| **not yet done**<br>" in ledger.page({})
    gru(0.97, dataset="simulated", simulated=True).save(folder / "10_roi_rnn.card.json")
    assert cli.main(["book", "ledger"]) == 1
    assert "4F: 10_roi_rnn.card.json has no lstm, auc, mean of folds" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == ledger.page(stored_cards())
