"""Parameters of the chapters: type, unit, range."""

from pydantic import BaseModel, ConfigDict, Field

from calcium_decoding.models.names import (
    EXPLAINED,
    FOOTSTEP_MODELS,
    FOOTSTEP_NETWORKS,
    FOOTSTEP_SIZES,
    IMAGE_MODELS,
    MODELS,
    OUTPUTS,
    SPEED_MODELS,
    WEIGHTS,
)
from calcium_decoding.preprocessing.recipes import RECIPES

# calcium_decoding.splits.build, which says what each is
REGIMES = "animal_pairs", "leave_one_session_out", "last_part", "blocked", "nested_animals", "random_windows"

# decoding_book.chapters.map_tests: of each world, the component whose share of a ROI's variance is the truth. What the
# camera sees of blood is largest where blood absorbs most, of movement where the image is steep: edges, vessels.
TRUTH_OF = {"single_area": "driven", "haemodynamics_only": "blood", "motion_artefact_only": "motion",
            "lead": "driven", "lag": "driven"}


def _listed(names):
    return ", ".join(names)


def _one(names):
    return f"^({'|'.join(names)})$"


def _some(names, or_none=False):
    one = f"({'|'.join(names)})"
    return f"^({one}(,{one})*)?$" if or_none else f"^{one}(,{one})*$"


class Parameters(BaseModel):
    """Parameters every chapter has. A field's description gives its unit; defaults stand in the chapter."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: str = Field(description="name in data_manifest.yaml", min_length=1)
    data_dir: str = Field(description="folder of data sets; empty: CALCIUM_DECODING_DATA, or data/")
    out_dir: str = Field(description="folder of the result card; empty: _build/cards")
    seed: int = Field(description="seed of everything random", ge=0, lt=2**32)


class DataTour(Parameters):
    """01_data_tour"""

    example: int = Field(description="which recording to show, counted from 0", ge=0)
    show_s: float = Field(description="length of the stretch shown, s", gt=0, le=3600)


class SplitsAndLeakage(Parameters):
    """02_splits_and_leakage"""

    draws: int = Field(description="data sets without any relation", ge=1, le=100)
    unrelated_frames: int = Field(description="frames of each of them", ge=1000, le=100_000)
    trees: int = Field(description="trees of the random forest, which is slow; 0: no forest", ge=0, le=1000)
    recipe: str = Field(description=f"preprocessing of every regime: {_listed(RECIPES)}", pattern=_one(RECIPES))
    candidates: str = Field(description="preprocessing among which inner animals choose, comma between",
                            pattern=_some(RECIPES))
    baseline_frames: int = Field(description="length of the moving baseline, frames", ge=2, le=100_000)
    past_frames: int = Field(description="frames of a window before the labelled one", ge=0, le=300)
    future_frames: int = Field(description="frames of a window after the labelled one", ge=0, le=300)
    models: str = Field(description=f"decoders, comma between: {_listed(MODELS)}", pattern=_some(MODELS))
    n_blocks: int = Field(description="blocks of a recording in the blocked split", ge=3, le=20)
    embargo_times: float = Field(description="embargo between blocks, autocorrelation times of running", ge=0, le=100)
    jobs: int = Field(description="folds at a time; 0: one a processor", ge=0, le=1024)


class ChanceAndNulls(Parameters):
    """03_chance_and_nulls"""

    example_sessions: int = Field(description="sessions of the example animal", ge=4, le=30)
    example_frames: int = Field(description="frames of each of them", ge=600, le=100_000)
    recipe: str = Field(description=f"preprocessing, applied to whole recordings: {_listed(RECIPES)}",
                        pattern=_one(RECIPES))
    baseline_frames: int = Field(description="length of the moving baseline, frames", ge=2, le=100_000)
    draws: int = Field(description="draws of each null", ge=19, le=100_000)
    jobs: int = Field(description="threads; 0: one a processor", ge=0, le=1024)


class Testing(Parameters):
    """Parameters of every chapter that splits data and trains on them."""

    regime: str = Field(description=f"split: auto (as the data set suggests), {_listed(REGIMES)}",
                        pattern=f"^(auto|{'|'.join(REGIMES)})$")
    n_blocks: int = Field(description="blocks of a recording in the blocked split", ge=3, le=20)
    device: str = Field(description="cpu, cuda, or auto", pattern="^(cpu|cuda|auto)$")
    jobs: int = Field(description="folds at a time; 0: one a processor", ge=0, le=1024)


class Traces(Testing):
    """Parameters of every chapter that decodes ROI traces."""

    recipe: str = Field(description=f"preprocessing: auto (as the split allows), {_listed(RECIPES)}",
                        pattern=f"^(auto|{'|'.join(RECIPES)})$")
    baseline_frames: int = Field(description="length of the moving baseline, frames", ge=2, le=100_000)
    past_frames: int = Field(description="frames of a window before the labelled one", ge=0, le=300)
    future_frames: int = Field(description="frames of a window after the labelled one", ge=0, le=300)


class Training(Traces):
    """Parameters of every chapter that trains networks on ROI traces."""

    train_every: int = Field(description="train on one window in so many; 1: all", ge=1, le=1000)
    epochs: int = Field(description="epochs over the training windows", ge=1, le=1000)
    min_updates: int = Field(description="pass more often until so many steps were taken", ge=0, le=100_000)
    batch_size: int = Field(description="windows a step", ge=1, le=100_000)
    learning_rate: float = Field(description="step size of Adam", gt=0, le=1)


class Decoding(Training):
    """Parameters of every chapter that compares decoders."""

    models: str = Field(description=f"decoders, comma between: {_listed(MODELS)}", pattern=_some(MODELS))


class SimulatedTruth(Decoding):
    """04_simulated_truth"""

    animal: int = Field(description="whose session is taken apart, counted from 1", ge=1, le=5)
    raw_folds: int = Field(description="folds decoded without baseline, spread evenly; 0: all", ge=0, le=10_000)


class RoiRnn(Decoding):
    """10_roi_rnn"""

    folds: int = Field(description="folds of the main comparison, spread evenly; 0: all", ge=0, le=10_000)
    networks: str = Field(description=f"decoders on some folds: none if empty, of {_listed(MODELS)}",
                          pattern=_some(MODELS, or_none=True))
    filters: str = Field(description="lengths of the baseline on some folds, frames; none if empty",
                         pattern=r"^(\d{1,5}(,\d{1,5})*)?$")
    filter_model: str = Field(description=f"decoder for which filters are compared: {_listed(MODELS)}",
                              pattern=_one(MODELS))
    sweep_folds: int = Field(description="folds of networks and filters, spread evenly; 0: all", ge=0, le=10_000)
    null_models: str = Field(description="decoders refitted on permuted sessions; empty: none",
                             pattern=_some(MODELS, or_none=True))
    null_folds: int = Field(description="folds the null is refitted on, spread evenly; 0: all", ge=0, le=10_000)


class WindowsAndLags(Training):
    """11_windows_and_lags"""

    model: str = Field(description=f"decoder of windows: {_listed(MODELS)}", pattern=_one(MODELS))
    half_lengths: str = Field(description="half lengths of windows, frames, comma between",
                              pattern=r"^\d{1,3}(,\d{1,3})*$")
    shifts: str = Field(description="label shifts, frames, comma between, 0 among them",
                        pattern=r"^(-?\d{1,3},)*0(,-?\d{1,3})*$")
    sweep_folds: int = Field(description="folds of each condition, spread evenly; 0: all", ge=0, le=10_000)


class Regions(Training):
    """12_regions"""

    model: str = Field(description=f"decoder of every set of ROIs: {_listed(MODELS)}", pattern=_one(MODELS))
    sweep_folds: int = Field(description="folds of every set of ROIs, spread evenly; 0: all", ge=0, le=10_000)
    null_models: str = Field(description="decoder refitted on permuted sessions; empty: none",
                             pattern=f"^({'|'.join(MODELS)})?$")
    null_folds: int = Field(description="folds the null is refitted on, spread evenly; 0: all", ge=0, le=10_000)


class Shap(Training):
    """23_shap"""

    model: str = Field(description=f"decoder to explain: {_listed(EXPLAINED)}", pattern=_one(EXPLAINED))
    output: str = Field(description=f"output to explain: {_listed(OUTPUTS)}", pattern=_one(OUTPUTS))
    explained: int = Field(description="test windows to explain in each fold, spread evenly; 0: all", ge=0,
                           le=10_000_000)
    background: int = Field(description="test windows they are compared with, drawn by the seed", ge=1, le=100_000)
    folds: int = Field(description="folds, spread evenly; 0: all", ge=0, le=10_000)
    null_folds: int = Field(description="folds the null is refitted on, spread evenly; 0: all", ge=0, le=10_000)


_WORLDS = "|".join(TRUTH_OF)


class MapTests(Training):
    """24_do_the_maps_mean_anything"""

    model: str = Field(description=f"decoder to explain: {_listed(EXPLAINED)}", pattern=_one(EXPLAINED))
    output: str = Field(description=f"output to explain: {_listed(OUTPUTS)}", pattern=_one(OUTPUTS))
    explained: int = Field(description="test windows to explain in each fold, spread evenly", ge=1, le=100_000)
    background: int = Field(description="test windows they are compared with, drawn by the seed", ge=1, le=100_000)
    folds: int = Field(description="folds, spread evenly; 0: all", ge=0, le=10_000)
    null_folds: int = Field(description="folds the null is refitted on, of those above; 0: all", ge=0, le=10_000)
    repeats: int = Field(description="folds done again: with another validation animal, from other initial weights, "
                                     "time-reversed", ge=1, le=10_000)
    random_maps: int = Field(description="random maps for the curves of each method, none of which are drawn at 0",
                             ge=0, le=1000)
    worlds: str = Field(description=f"worlds, comma between; none if empty: {_listed(TRUTH_OF)}",
                        pattern=f"^(({_WORLDS})(,({_WORLDS}))*)?$")
    world_frames: int = Field(description="frames of each of nine sessions of a world", ge=600, le=100_000)


_SPEED = "|".join(SPEED_MODELS)
_SMOOTHING = r"(none|(moving_mean|causal)_[1-9]\d{0,3})"


class SpeedRegression(Training):
    """30_speed_regression"""

    target: str = Field(description="what is decoded: speed, or the name of a behaviour", min_length=1)
    smoothings: str = Field(description="smoothings of the speed, comma between: the first for all but one section; "
                                        "none, moving_mean_30, causal_30, or other numbers of frames",
                            pattern=f"^{_SMOOTHING}(,{_SMOOTHING})*$")
    models: str = Field(description="decoders, comma between; the first for intervals, the second for areas and "
                                    f"smoothings; {', '.join(SPEED_MODELS)}",
                        pattern=f"^({_SPEED})(,({_SPEED}))*$")
    folds: int = Field(description="folds of every comparison, spread evenly; 0: all", ge=0, le=10_000)


class Images(Testing):
    """Parameters of every chapter that decodes from movies."""

    weights: str = Field(description=f"initial weights of the CNN: {_listed(WEIGHTS)}", pattern=_one(WEIGHTS))
    bin_px: int = Field(description="pixels a side that are averaged; 1: the movie as it is", ge=1, le=64)
    norm_momentum: float = Field(description="weight of a step in running statistics of batch norms", gt=0, le=1)
    cnn_every: int = Field(description="train and validate on one image in so many", ge=1, le=1000)
    cnn_epochs: int = Field(description="epochs over the training images", ge=1, le=1000)
    cnn_batch: int = Field(description="images a step", ge=1, le=100_000)
    cnn_rate: float = Field(description="highest learning rate on images", gt=0, le=1)
    folds: int = Field(description="folds of every comparison, spread evenly; 0: all", ge=0, le=10_000)
    null_folds: int = Field(description="folds the null is refitted on, spread evenly; 0: all", ge=0, le=10_000)


class Cnn(Images, Traces):
    """20_cnn"""


_SEQUENCES = "|".join(name for name in IMAGE_MODELS if name != "cnn")


class Sequences(Images):
    """Parameters of every chapter that trains recurrent networks on the features of images."""

    images_each_side: int = Field(description="images before and after the labelled one in a window", ge=0, le=300)
    frozen: bool = Field(description="leave the network on images as it is under recurrent ones")
    rnn_every: int = Field(description="train and validate on one window in so many", ge=1, le=1000)
    rnn_epochs: int = Field(description="epochs over the training windows", ge=1, le=1000)
    rnn_batch: int = Field(description="windows a step", ge=1, le=100_000)
    rnn_rate: float = Field(description="highest learning rate on windows", gt=0, le=1)
    consecutive: int = Field(description="windows in a row that share images; 1: any windows", ge=1, le=100_000)


class CnnRnn(Sequences):
    """21_cnn_rnn"""

    networks: str = Field(description="recurrent networks on images, comma between, the first for all sections; "
                                      f"{_SEQUENCES.replace('|', ', ')}",
                          pattern=f"^({_SEQUENCES})(,({_SEQUENCES}))*$")
    windows: str = Field(description="images each side in the sweep, comma between", pattern=r"^\d{1,3}(,\d{1,3})*$")
    frozen: bool = Field(description="leave the network on images as it is in networks and sweep")
    other_folds: int = Field(description="folds of the first network trained the other way; 0: all", ge=0, le=10_000)


class CutOut(Sequences):
    """22_cut_out"""

    model: str = Field(description=f"decoder of images: {_listed(IMAGE_MODELS)}", pattern=_one(IMAGE_MODELS))
    test_every: int = Field(description="test on one window in so many; 1: all", ge=1, le=1000)
    disc_folds: int = Field(description="folds in which discs are occluded too, spread evenly; 0: all", ge=0, le=10_000)


_FOOTSTEPS, _FEET_NETWORKS = "|".join(FOOTSTEP_MODELS), "|".join(FOOTSTEP_NETWORKS)
_NUMBERS = r"\d+(\.\d+)?(,\d+(\.\d+)?)*"


class BilateralM1(Parameters):
    """40_bilateral_m1"""

    animals: int = Field(description="animals that are used; 0: all", ge=0, le=1000)
    sessions: int = Field(description="sessions of each animal that are used; 0: all", ge=0, le=1000)
    cells: int = Field(description="cells of each animal that are used, drawn at random; 0: all", ge=0, le=100_000)
    size: str = Field(description=f"size of the networks: {_listed(FOOTSTEP_SIZES)}", pattern=_one(FOOTSTEP_SIZES))
    window_frames: int = Field(description="frames of a window, the last of which is decoded", ge=1, le=300)
    lstm_frames: int = Field(description="frames of a window of the LSTM", ge=1, le=300)
    models: str = Field(description=f"decoders, hybrid first, comma between; {_listed(FOOTSTEP_MODELS)}",
                        pattern=f"^hybrid(,({_FOOTSTEPS}))*$")
    ablations: str = Field(description="ablated networks; empty: none; trained with the first seed only",
                           pattern=f"^(({_FEET_NETWORKS})(,({_FEET_NETWORKS}))*)?$")
    places: int = Field(description="places that the test block can have in a recording", ge=2, le=20)
    blocks: int = Field(description="places of the test block that are used, spread evenly", ge=1, le=20)
    seeds: int = Field(description="times that a network is trained", ge=1, le=100)
    epochs: int = Field(description="epochs over the training windows at most", ge=1, le=1000)
    patience: int = Field(description="epochs without a better validation loss until training stops", ge=1, le=1000)
    batch_size: int = Field(description="windows a step", ge=2, le=100_000)
    learning_rate: float = Field(description="highest step size of AdamW", gt=0, le=1)
    every_frames: int = Field(description="train on one window in so many", ge=1, le=1000)
    mixup: float = Field(description="alpha of mixup; 0: none", ge=0, le=10)
    activity: bool = Field(description="train the published head of activity too")
    snrs: str = Field(description="signal-to-noise ratios to simulate anew, comma between", pattern=f"^{_NUMBERS}$")
    noises: str = Field(description="noise added to recorded data, SD of the cell, comma between",
                        pattern=f"^{_NUMBERS}$")
    cell_counts: str = Field(description="cells in the sweep, comma between", pattern=r"^[1-9]\d*(,[1-9]\d*)*$")
    training_shares: str = Field(description="shares of the training frames in the sweep, comma between",
                                 pattern=f"^{_NUMBERS}$")
    sweep_models: str = Field(description="decoders in the sweeps, comma between",
                              pattern=f"^({_FOOTSTEPS})(,({_FOOTSTEPS}))*$")
    sweep_animals: int = Field(description="animals in the sweeps; 0: all", ge=0, le=1000)
    minutes: str = Field(description="labelled minutes of a new animal; 0: all", pattern=f"^{_NUMBERS}$")
    read_in_width: int = Field(description="channels of an animal's read-in", ge=2, le=1000)
    null_model: str = Field(description="decoder refitted on shifted behaviour; empty: none",
                            pattern=f"^({_FOOTSTEPS})?$")
    device: str = Field(description="cpu, cuda, or auto", pattern="^(cpu|cuda|auto)$")
    jobs: int = Field(description="trainings at a time; 0: one a processor", ge=0, le=1024)


class M1SplitAudit(Parameters):
    """41_m1_split_audit"""

    window_frames: int = Field(description="frames of a window, the last of which is decoded", ge=1, le=300)
    within: int = Field(description="recordings for splits within a recording, spread evenly; 0: all", ge=0, le=1000)
    places: int = Field(description="places of the test block in a recording", ge=1, le=20)
    components: int = Field(description="principal components that quick decoders see", ge=1, le=1000)
    networks: str = Field(description="networks under both splits, comma between",
                          pattern=f"^({_FEET_NETWORKS})(,({_FEET_NETWORKS}))*$")
    size: str = Field(description=f"size of the hybrid network: {_listed(FOOTSTEP_SIZES)}",
                      pattern=_one(FOOTSTEP_SIZES))
    network_places: int = Field(description="places of the test block for networks", ge=1, le=20)
    epochs: int = Field(description="epochs over the training windows at most", ge=1, le=1000)
    batch_size: int = Field(description="windows a step", ge=2, le=100_000)
    learning_rate: float = Field(description="highest step size of AdamW", gt=0, le=1)
    lengths: str = Field(description="window lengths in the sweep, frames, comma between",
                         pattern=r"^[1-9]\d{0,2}(,[1-9]\d{0,2})*$")
    length_recordings: int = Field(description="recordings in the sweep of window lengths, spread evenly; 0: all", ge=0,
                                   le=1000)
    decays_s: str = Field(description="decay times of simulated indicators, s, comma between", pattern=f"^{_NUMBERS}$")
    decay_draws: int = Field(description="animals simulated for each of them", ge=1, le=100)
    decay_frames: int = Field(description="frames of each of them", ge=300, le=100_000)
    device: str = Field(description="cpu, cuda, or auto", pattern="^(cpu|cuda|auto)$")
    jobs: int = Field(description="folds at a time; 0: one a processor", ge=0, le=1024)


class YourModel(Traces):
    """51_your_model"""

    every_frames: int = Field(description="frames from one window to the next", ge=1, le=1000)
    target: str = Field(description="behaviour with a number a class, made from running where it is missing",
                        min_length=1)
    edge_frames: int = Field(description="frames before and after a start or stop that count as one", ge=0, le=1000)
    models: str = Field(description=f"decoders of the library, comma between: {_listed(MODELS)}",
                        pattern=_some(MODELS))
    trees: int = Field(description="trees of the random forest", ge=1, le=1000)
    epochs: int = Field(description="epochs over the training windows at most", ge=1, le=1000)
    patience: int = Field(description="epochs without a better validation loss until training stops", ge=1, le=1000)
    batch_size: int = Field(description="windows a step", ge=2, le=100_000)
    learning_rate: float = Field(description="step size of Adam", gt=0, le=1)
    folds: int = Field(description="folds of the comparison, spread evenly; 0: all", ge=0, le=10_000)
    null_folds: int = Field(description="folds the null is refitted on, spread evenly; 0: all", ge=0, le=10_000)


CHAPTERS = {"01_data_tour": DataTour, "02_splits_and_leakage": SplitsAndLeakage, "03_chance_and_nulls": ChanceAndNulls,
            "04_simulated_truth": SimulatedTruth, "10_roi_rnn": RoiRnn, "11_windows_and_lags": WindowsAndLags,
            "12_regions": Regions, "20_cnn": Cnn, "21_cnn_rnn": CnnRnn, "22_cut_out": CutOut, "23_shap": Shap,
            "24_do_the_maps_mean_anything": MapTests, "30_speed_regression": SpeedRegression,
            "40_bilateral_m1": BilateralM1, "41_m1_split_audit": M1SplitAudit,
            "51_your_model": YourModel}
