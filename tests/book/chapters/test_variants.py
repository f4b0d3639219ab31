"""Networks and filters: which experiment each condition is, and where a published figure may stand."""

from dataclasses import replace

import numpy as np
import pytest

from calcium_decoding import preprocessing, splits
from calcium_decoding.data import published
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments import compare, engine
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapters import variants


@pytest.fixture
def plan(tiny_dataset):
    def make(recipe="published", changes=None, say=False, n_folds=0):
        recipe = {"name": recipe, "rate_hz": 30.0, "baseline_frames": 100} | (changes or {})
        spec = WindowSpec(3, 3)
        split = splits.build("animal_pairs", tiny_dataset, spec, preprocessing.build(**recipe))
        split = replace(split, folds=split.folds[: n_folds or None])
        return engine.Experiment(tiny_dataset, split, Traces(recipe, spec), training=TrainingSettings(epochs=1))

    return make


def test_networks_share_their_folds_and_carry_what_the_study_published(plan):
    names = ["gru", "lstm", "rnn", "bigru", "bilstm", "birnn", "gru_keras", "logistic"]
    planned = variants.networks(plan, names, n_folds=2)
    assert [c.name for c in planned] == [c.model for c in planned] == names
    assert len({id(c.experiment) for c in planned}) == 1 and len(planned[0].experiment.split.folds) == 2
    means = {c.name: round(c.published_score()[0], 3) for c in planned if c.published}
    assert means == {"gru": 0.974, "lstm": 0.970, "rnn": 0.953, "bigru": 0.974, "bilstm": 0.960, "birnn": 0.967}

    def raw(**options):
        return plan(recipe="raw", **options)

    assert not any(c.published for c in variants.networks(raw, names))  # the study's six had the filter
    with pytest.raises(ParameterError, match="transformer"):
        variants.networks(plan, ["gru", "transformer"])


def test_filters_change_the_baseline_and_nothing_else(plan):
    planned = variants.filters(plan, [300, 1000], "gru", n_folds=1)
    assert [c.name for c in planned] == ["no filter", "300 frames", "1000 frames"]
    recipes = [c.experiment.recipe for c in planned]
    assert [r["name"] for r in recipes] == ["raw", "published", "published"]
    assert [r["baseline_frames"] for r in recipes[1:]] == [300, 1000]
    assert [c.published and c.published[0] for c in planned] == ["roi_rnn_raw", None, "roi_rnn_architecture"]
    assert round(planned[0].published_score()[0], 3) == published.reported("roi_rnn_raw", "GRU", "raw")[0] == 0.911
    assert not any(c.published for c in variants.filters(plan, [1000], "logistic"))
    for bad in ([100, 100], [1]):
        with pytest.raises(ParameterError, match="baseline_frames"):
            variants.filters(plan, bad, "gru")


def test_no_filter_that_would_look_at_test_frames(plan):
    def within_recordings(recipe="scaled", **options):
        return plan(recipe=recipe, **options)

    assert variants.filters(within_recordings, [1000], "gru") == []


def test_a_short_filter_takes_a_slow_signal_away(plan):
    """A filter far shorter than the bouts of running leaves a decoder of single frames with less."""
    found = compare.run(variants.filters(plan, [4, 400], "logistic"), jobs=1)
    mean = {result.name: np.mean(list(result.values().values())) for result in found}
    assert mean["400 frames"] > mean["4 frames"] + 0.1
