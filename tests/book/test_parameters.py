"""Parameters: what is refused, and that the message helps."""

import pytest

from calcium_decoding.errors import ParameterError
from decoding_book import execute
from decoding_book.chapter import start
from decoding_book.parameters import CHAPTERS, validate


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request):
    return request.param


def test_defaults_and_every_profile_are_valid(chapter):
    for profile in execute.PROFILES:
        merged = execute.merged_parameters(chapter, profile)
        assert set(merged) == set(CHAPTERS[chapter].model_fields)


@pytest.mark.parametrize(("name", "value", "said"), [
    ("epochs", 0, "greater than or equal to 1"), ("epochs", "many", "epochs over the training windows"),
    ("epochs", 2.5, "integer"), ("past_frames", -1, "0"), ("learning_rate", 0, "greater than 0"),
    ("regime", "random", "animal_pairs"), ("recipe", "magic", "published"), ("models", "gru,svm", "logistic"),
    ("null_models", "svm", "logistic"), ("device", "tpu", "cpu"), ("seed", -4, "0"), ("epochs", True, "integer"),
    ("data_dir", 3, "string")])
def test_out_of_range_is_refused_with_name_found_and_expected(name, value, said):
    good = execute.merged_parameters("10_roi_rnn", "demo")
    with pytest.raises(ParameterError) as error:
        validate("10_roi_rnn", good | {name: value})
    assert f"'{name}'" in str(error.value) and repr(value) in str(error.value) and said in str(error.value)


def test_a_typing_error_gets_the_name_it_meant():
    good = execute.merged_parameters("10_roi_rnn", "demo")
    with pytest.raises(ParameterError, match="did you mean 'epochs'"):
        validate("10_roi_rnn", good | {"epoch": 3})


def test_a_missing_parameter_is_named():
    good = execute.merged_parameters("10_roi_rnn", "demo")
    del good["epochs"]
    with pytest.raises(ParameterError, match=r"'epochs'.*found nothing"):
        validate("10_roi_rnn", good)


def test_a_whole_number_is_a_fine_float():
    good = execute.merged_parameters("01_data_tour", "demo")
    assert validate("01_data_tour", good | {"show_s": 30}).show_s == 30.0


def test_unknown_chapter_and_profile_are_refused():
    with pytest.raises(ParameterError, match="10_roi_rnn"):
        execute.run("10_roi_rn")
    with pytest.raises(ParameterError, match="smoke, demo, paper"):
        execute.run("10_roi_rnn", profile="quick")


def test_a_name_that_only_papermill_s_cell_sets_is_seen():
    good = execute.merged_parameters("01_data_tour", "smoke")
    namespace = good | {"In": ["", "import x", "# Parameters\nexampel = 2\nseed = 1\n"], "exampel": 2}
    with pytest.raises(ParameterError, match="did you mean 'example'"):
        start("01_data_tour", namespace)


def test_variables_of_the_notebook_are_no_parameters(monkeypatch):
    # Running the first cell again in JupyterLab, with results around, must not be refused.
    good = execute.merged_parameters("01_data_tour", "smoke")
    started = start("01_data_tour", good | {"auc": 0.9, "In": ["", "auc = 0.9"]})
    assert started.parameters.dataset == "simulated-small"


def test_a_number_where_text_belongs_is_refused_with_the_text_to_write():
    with pytest.raises(ParameterError, match=r'snrs = "4"'):
        validate("40_bilateral_m1", execute.defaults("40_bilateral_m1") | {"snrs": 4})
