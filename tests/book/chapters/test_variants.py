"""Networks and filters on traces: which published figure stands beside which."""

from calcium_decoding import models
from calcium_decoding.data import published
from decoding_book.chapters import variants


def test_networks_and_filters_carry_what_the_study_published():
    means = {name: round(published.reported(*key)[0], 3) for name, key in variants.NETWORKS.items()}
    assert means == {"gru": 0.974, "lstm": 0.970, "rnn": 0.953, "bigru": 0.974, "bilstm": 0.960, "birnn": 0.967}
    assert set(means) <= set(models.MODELS)
    filters = variants.published_filters("gru")
    assert filters["1000 frames"] == variants.NETWORKS["gru"]
    assert round(published.reported(*filters[variants.NO_FILTER])[0], 3) == 0.911
    assert variants.published_filters("lstm") == {"1000 frames": variants.NETWORKS["lstm"], variants.NO_FILTER: None}
    assert not any(variants.published_filters("logistic").values())
