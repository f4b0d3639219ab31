"""Parameters of the chapters: type, unit, range; others are refused before anything is computed."""

import difflib
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from calcium_decoding.errors import ParameterError
from calcium_decoding.models import names
from calcium_decoding.preprocessing.recipes import RECIPES

# Those of `splits.REGIMES`, which would import numpy.
REGIMES = "animal_pairs", "leave_one_session_out", "last_part", "blocked", "nested_animals", "random_windows"

DEVICES = "cpu", "cuda", "auto"

# decoding_book.chapters.map_tests: of each world, the component whose share of a ROI's variance is the truth. What the
# camera sees of blood is largest where blood absorbs most, of movement where the image is steep: edges, vessels.
TRUTH_OF = {"single_area": "driven", "haemodynamics_only": "blood", "motion_artefact_only": "motion",
            "lead": "driven", "lag": "driven"}
_NUMBERS = r"\d+(\.\d+)?", "numbers"  # of a list


def _range(description, low, high):
    return Field(description=description, ge=low, le=high)


def _text(description, pattern, allowed, or_none=False):
    """Text; ``allowed`` says in words what the pattern does."""
    pattern, allowed = (f"({pattern})?", f"{allowed}, or empty") if or_none else (pattern, allowed)
    return Field(description=description, pattern=f"^{pattern}$", json_schema_extra={"allowed": allowed})


def _one(description, choices, or_none=False):
    return _text(description, f"({'|'.join(choices)})", _listed(choices), or_none)


def _list(description, one, words, or_none=False):
    return _text(description, f"{one}(,{one})*", f"{words}, comma between", or_none)


def _some(description, choices, or_none=False):
    return _list(description, f"({'|'.join(choices)})", f"one or more of {_listed(choices)}", or_none)


def _listed(choices):
    return ", ".join(f"`{choice}`" for choice in choices)


class Parameters(BaseModel):
    """Parameters every chapter has. A field's description gives its unit; defaults stand in the chapter. What several
    chapters share is in classes below that :data:`CHAPTERS` does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: str = Field(description="name in data_manifest.yaml", min_length=1)
    data_dir: str = Field(description="folder of data sets; empty: CALCIUM_DECODING_DATA, or data/")
    out_dir: str = Field(description="folder of the result card; empty: _build/cards")
    seed: int = Field(description="seed of everything random", ge=0, lt=2**32)


class Windows(Parameters):
    baseline_frames: int = _range("length of the moving baseline, frames", 2, 100_000)
    past_frames: int = _range("frames of a window before the labelled one", 0, 300)
    future_frames: int = _range("frames of a window after the labelled one", 0, 300)


class Folds(Parameters):
    n_blocks: int = _range("blocks of a recording in the blocked split", 3, 20)
    jobs: int = _range("folds at a time; 0: one a processor", 0, 1024)


class Target(Parameters):
    DECODES: ClassVar = ("binary",)
    target: str = Field(description="behaviour that is decoded: 0 and 1", min_length=1)


class DataTour(Parameters):
    example: int = Field(description="which recording to show, counted from 0", ge=0)
    show_s: float = Field(description="length of the stretch shown, s", gt=0, le=3600)


class SplitsAndLeakage(Windows, Folds, Target):
    draws: int = _range("data sets without any relation", 1, 100)
    unrelated_frames: int = _range("frames of each of them", 1000, 100_000)
    trees: int = _range("trees of the random forest, which is slow; 0: no forest", 0, 1000)
    recipe: str = _one("preprocessing of every regime", RECIPES)
    candidates: str = _some("preprocessing among which inner animals choose", RECIPES)
    models: str = _some("decoders", names.MODELS)
    embargo_times: float = _range("embargo between blocks, autocorrelation times of the behaviour", 0, 100)


class ChanceAndNulls(Target):
    example_sessions: int = _range("sessions of the example animal", 4, 30)
    example_frames: int = _range("frames of each of them", 600, 100_000)
    recipe: str = _one("preprocessing, applied to whole recordings", RECIPES)
    baseline_frames: int = _range("length of the moving baseline, frames", 2, 100_000)
    draws: int = _range("draws of each null", 20, 100_000)
    jobs: int = _range("threads; 0: one a processor", 0, 1024)


class Testing(Folds):
    regime: str = _one("split, auto: as the data set suggests", ("auto", *REGIMES))
    device: str = _one("cpu, cuda, or auto", DEVICES)


class Traces(Windows, Testing):
    recipe: str = _one("preprocessing, auto: as the split allows", ("auto", *RECIPES))


class Training(Traces):
    train_every: int = _range("train and validate on one window in so many; 1: all", 1, 1000)
    epochs: int = _range("epochs over the training windows", 1, 1000)
    min_updates: int = _range("pass more often until so many steps were taken", 0, 100_000)
    batch_size: int = _range("windows a step", 1, 100_000)
    learning_rate: float = Field(description="step size of Adam", gt=0, le=1)


class SimulatedTruth(Parameters):
    animal: int = _range("whose session is taken apart, counted from 1", 1, 5)
    jobs: int = _range("folds at a time; 0: one a processor", 0, 1024)


class RoiRnn(Target, Training):
    DECODES: ClassVar = ("binary", "classes")
    target: str = Field(description="behaviour that is decoded: 0 and 1, or a number a class", min_length=1)
    models: str = _some("decoders", names.MODELS)
    folds: int = _range("folds of the main comparison, spread evenly; 0: all", 0, 10_000)
    networks: str = _some("decoders on some folds, none if empty", names.MODELS, or_none=True)
    filters: str = _list("lengths of the baseline on some folds, frames; none if empty", r"\d{1,5}",
                         "whole numbers of at most 5 digits", or_none=True)
    filter_model: str = _one("decoder for which filters are compared", names.MODELS)
    sweep_folds: int = _range("folds of networks and filters, spread evenly; 0: all", 0, 10_000)
    seeds: int = _range("trainings of each condition, with seeds from this one on", 1, 100)
    null_models: str = _some("decoders refitted on permuted sessions; empty: none", names.MODELS, or_none=True)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)


class WindowsAndLags(Target, Training):
    past_frames: int = _range("frames of a window before the labelled one", 1, 300)
    future_frames: int = _range("frames of a window after the labelled one", 1, 300)
    model: str = _one("decoder of windows", names.MODELS)
    half_lengths: str = _list("half lengths of windows, frames", r"\d{1,3}", "whole numbers of at most 3 digits")
    shifts: str = _text("label shifts, frames, 0 among them", r"(-?\d{1,3},)*0(,-?\d{1,3})*",
                        "whole numbers of at most 3 digits, also negative ones, 0 among them, comma between")
    sweep_folds: int = _range("folds of each condition, spread evenly; 0: all", 0, 10_000)
    seeds: int = _range("trainings of each condition, with seeds from this one on", 1, 100)


class Regions(Target, Training):
    model: str = _one("decoder of every set of ROIs", names.MODELS)
    sweep_folds: int = _range("folds of every set of ROIs, spread evenly; 0: all", 0, 10_000)
    seeds: int = _range("trainings of each condition, with seeds from this one on", 1, 100)
    null_models: str = _one("decoder refitted on permuted sessions; empty: none", names.MODELS, or_none=True)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)


class Shap(Target, Training):
    model: str = _one("decoder to explain", names.EXPLAINED)
    output: str = _one("output to explain", names.OUTPUTS)
    explained: int = _range("test windows to explain in each fold, spread evenly; 0: all", 0, 10_000_000)
    background: int = _range("test windows they are compared with, drawn by the seed", 1, 100_000)
    folds: int = _range("folds, spread evenly; 0: all", 0, 10_000)
    seeds: int = _range("trainings of each fold, with seeds from this one on", 1, 100)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)


class MapTests(Shap):
    explained: int = _range("test windows to explain in each fold, spread evenly", 1, 100_000)
    null_folds: int = _range("folds the null is refitted on, of those above; 0: all", 0, 10_000)
    repeats: int = _range("folds done again: with another validation animal, from other initial weights, time-reversed",
                          1, 10_000)
    random_maps: int = _range("random maps for the curves of each method, none of which are drawn at 0", 0, 1000)
    worlds: str = _some("worlds, none if empty", TRUTH_OF, or_none=True)
    world_frames: int = _range("frames of each of nine sessions of a world", 600, 100_000)


class SpeedRegression(Training):
    target: str = Field(description="what is decoded: speed, or the name of a behaviour", min_length=1)
    smoothings: str = _list("smoothings of the speed, the first for all but one section",
                            r"(none|(moving_mean|causal)_[1-9]\d{0,3})",
                            "none, moving_mean_30, causal_30, or other numbers of frames of at most 4 digits")
    models: str = _some("decoders, the first for intervals, the second for areas and smoothings", names.SPEED_MODELS)
    folds: int = _range("folds of every comparison, spread evenly; 0: all", 0, 10_000)
    seeds: int = _range("trainings of each condition, with seeds from this one on", 1, 100)


class Images(Testing):
    weights: str = _one("initial weights of the CNN", names.WEIGHTS)
    bin_px: int = _range("pixels a side that are averaged; 1: the movie as it is", 1, 64)
    norm_momentum: float = Field(description="weight of a step in running statistics of batch norms", gt=0, le=1)
    cnn_every: int = _range("train and validate on one image in so many", 1, 1000)
    cnn_epochs: int = _range("epochs over the training images", 1, 1000)
    cnn_batch: int = _range("images a step", 1, 100_000)
    cnn_rate: float = Field(description="highest learning rate on images", gt=0, le=1)
    folds: int = _range("folds of every comparison, spread evenly; 0: all", 0, 10_000)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)
    motion_arms: int = _range("folds of each arm of motion, spread evenly; 0: none, the stored ones are shown", 0,
                              10_000)
    seeds: int = _range("trainings of each condition, with seeds from this one on", 1, 100)


class Cnn(Images, Traces):
    """20_cnn"""


class Sequences(Images):
    images_each_side: int = _range("images before and after the labelled one in a window", 0, 300)
    frozen: bool = Field(description="leave the network on images as it is under recurrent ones")
    rnn_every: int = _range("train and validate on one window in so many", 1, 1000)
    rnn_epochs: int = _range("epochs over the training windows", 1, 1000)
    rnn_batch: int = _range("windows a step", 1, 100_000)
    rnn_rate: float = Field(description="highest learning rate on windows", gt=0, le=1)
    consecutive: int = _range("windows in a row that share images; 1: any windows", 1, 100_000)


class CnnRnn(Sequences):
    networks: str = _some("recurrent networks on images, the first for all sections",
                          [name for name in names.IMAGE_MODELS if name != "cnn"])
    windows: str = _list("images each side in the sweep", r"\d{1,3}", "whole numbers of at most 3 digits")
    frozen: bool = Field(description="leave the network on images as it is in networks and sweep")
    other_folds: int = _range("folds of the first network trained the other way; 0: all", 0, 10_000)


class CutOut(Sequences):
    model: str = _one("decoder of images", names.IMAGE_MODELS)
    test_every: int = _range("test on one window in so many; 1: all", 1, 1000)
    disc_folds: int = _range("folds in which discs are occluded too, spread evenly; 0: all", 0, 10_000)


class Footsteps(Parameters):
    size: str = _one("size of the networks", names.FOOTSTEP_SIZES)
    window_frames: int = _range("frames of a window, the last of which is decoded", 1, 300)
    components: int = _range("principal components that simple decoders see", 1, 1000)
    epochs: int = _range("epochs over the training windows at most", 1, 1000)
    batch_size: int = _range("windows a step", 2, 100_000)
    learning_rate: float = Field(description="highest step size of AdamW", gt=0, le=1)
    device: str = _one("cpu, cuda, or auto", DEVICES)
    jobs: int = _range("folds at a time; 0: one a processor", 0, 1024)


class BilateralM1(Footsteps):
    jobs: int = _range("trainings at a time; 0: one a processor", 0, 1024)
    animals: int = _range("animals that are used; 0: all", 0, 1000)
    sessions: int = _range("sessions of each animal that are used; 0: all", 0, 1000)
    cells: int = _range("cells of each animal that are used, drawn at random; 0: all", 0, 100_000)
    lstm_frames: int = _range("frames of a window of the LSTM", 1, 300)
    models: str = _text("decoders, hybrid first", f"hybrid(,({'|'.join(names.FOOTSTEP_MODELS)}))*",
                        f"hybrid, then none or more of {', '.join(names.FOOTSTEP_MODELS)}, comma between")
    ablations: str = _some("ablated networks; empty: none", names.FOOTSTEP_NETWORKS, or_none=True)
    places: int = _range("places that the test block can have in a recording", 2, 20)
    blocks: int = _range("places of the test block that are used, spread evenly", 1, 20)
    seeds: int = _range("times that a network is trained", 1, 100)
    sweep_seeds: int = _range("the same of ablations, in sweeps and for new animals", 1, 100)
    patience: int = _range("epochs without a better validation loss until training stops", 1, 1000)
    every_frames: int = _range("train on one window in so many", 1, 1000)
    mixup: float = _range("alpha of mixup; 0: none", 0, 10)
    activity: bool = Field(description="train the published head of activity too")
    snrs: str = _list("signal-to-noise ratios to simulate anew", *_NUMBERS)
    noises: str = _list("noise added to recorded data, SD of the cell", *_NUMBERS)
    cell_counts: str = _list("cells in the sweep", r"[1-9]\d*", "whole numbers above 0")
    training_shares: str = _list("shares of the training frames in the sweep", *_NUMBERS)
    sweep_models: str = _some("decoders in the sweeps", names.FOOTSTEP_MODELS)
    sweep_animals: int = _range("animals in the sweeps; 0: all", 0, 1000)
    minutes: str = _list("labelled minutes of a new animal; 0: all", *_NUMBERS)
    read_in_width: int = _range("channels of an animal's read-in", 2, 1000)
    null_model: str = _one("decoder refitted on another recording's labels; empty: none", names.FOOTSTEP_MODELS,
                           or_none=True)


class M1SplitAudit(Footsteps):
    size: str = _one("size of the hybrid network", names.FOOTSTEP_SIZES)
    within: int = _range("recordings for splits within a recording, spread evenly; 0: all", 0, 1000)
    places: int = _range("places of the test block in a recording", 1, 20)
    networks: str = _some("networks under both splits", names.FOOTSTEP_NETWORKS)
    network_places: int = _range("places of the test block for networks", 1, 20)
    lengths: str = _list("window lengths in the sweep, frames", r"[1-9]\d{0,2}",
                         "whole numbers above 0 of at most 3 digits")
    length_recordings: int = _range("recordings in the sweep of window lengths, spread evenly; 0: all", 0, 1000)
    decays_s: str = _list("decay times of simulated indicators, s", *_NUMBERS)
    decay_draws: int = _range("animals simulated for each of them", 2, 100)
    decay_frames: int = _range("frames of each of them", 300, 100_000)


_MOVEMENTS = "lever", "lick", "right paw", "left paw"  # those of decoding_book.chapters.forelimbs


class Forelimbs(Parameters):
    movements: str = _some("movements that are decoded", _MOVEMENTS)
    networks: str = _some("movements that a network decodes too; empty: none", _MOVEMENTS, or_none=True)
    movement: str = _one("movement of the sections on a new mouse and on days", _MOVEMENTS)
    before_frames: int = _range("frames before an onset", 1, 300)
    after_frames: int = _range("frames after it", 1, 300)
    quiet_s: float = _range("how far from any such movement the easy negatives lie, s", 0, 60)
    paw_px_s: float = Field(description="speed above which a paw moves, px/s", gt=0, le=10_000)
    every_frames: int = _range("frames from one window to the next where all frames are decoded", 1, 1000)
    minutes: str = _list("labelled minutes of a new mouse", *_NUMBERS)
    folds: int = _range("folds of every comparison, spread evenly; 0: all", 0, 10_000)
    epochs: int = _range("epochs over the training windows at most", 1, 1000)
    patience: int = _range("epochs without a better validation loss until training stops", 1, 1000)
    batch_size: int = _range("windows a step", 2, 100_000)
    learning_rate: float = Field(description="step size of Adam", gt=0, le=1)
    device: str = _one("cpu, cuda, or auto", DEVICES)
    jobs: int = _range("folds at a time; 0: one a processor", 0, 1024)


class YourData(Training):
    sessions_dir: str = Field(description="your folder of animal/session/; empty: made here")
    rate_hz: float = Field(description="frames per second of the imaging", gt=0, le=10_000)
    neuropil: float = _range("share of the neuropil that is taken off each ROI", 0, 1)
    start_above: float = _range("running begins above this speed, cm/s", 0, 1000)
    stop_below: float = _range("and ends below this one, cm/s", 0, 1000)
    shortest_s: float = _range("shorter bouts are none, s", 0, 60)
    models: str = _some("decoders", names.MODELS)
    folds: int = _range("folds of the comparison, spread evenly; 0: all", 0, 10_000)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)


class YourModel(Traces):
    every_frames: int = _range("frames from one window to the next", 1, 1000)
    target: str = Field(description="behaviour with a number a class, made from running where it is missing",
                        min_length=1)
    edge_frames: int = _range("frames before and after a start or stop that count as one", 0, 1000)
    models: str = _some("decoders of the library", names.MODELS)
    trees: int = _range("trees of the random forest", 1, 1000)
    epochs: int = _range("epochs over the training windows at most", 1, 1000)
    patience: int = _range("epochs without a better validation loss until training stops", 1, 1000)
    batch_size: int = _range("windows a step", 2, 100_000)
    learning_rate: float = Field(description="step size of Adam", gt=0, le=1)
    folds: int = _range("folds of the comparison, spread evenly; 0: all", 0, 10_000)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)


class RealTime(Target, Training):
    recipe: str = _one("not used here", ("auto",))
    look_aheads: str = _list("frames after the decoded one that causal filters go with", r"\d{1,3}",
                             "whole numbers of at most 3 digits")
    model: str = _one("decoder of windows", [name for name in names.MODELS if name != "time_only"])
    folds: int = _range("folds of every comparison, spread evenly; 0: all", 0, 10_000)
    null_folds: int = _range("folds the null is refitted on, spread evenly; 0: all", 0, 10_000)
    stream_s: float = _range("how much of a recording is streamed, s", 5, 36_000)
    hold_frames: int = _range("lost frames in a row that the last one may stand in for", 1, 1000)
    threshold: float = _range("a trigger comes where the decoded probability rises above it", 0, 1)
    hold_s: float = _range("decoded running has to last so long before a trigger, s", 0, 10)
    draws: int = _range("shifted traces in the null of the trigger", 1, 10_000)


CHAPTERS = {"01_data_tour": DataTour, "02_splits_and_leakage": SplitsAndLeakage, "03_chance_and_nulls": ChanceAndNulls,
            "04_simulated_truth": SimulatedTruth, "10_roi_rnn": RoiRnn, "11_windows_and_lags": WindowsAndLags,
            "12_regions": Regions, "20_cnn": Cnn, "21_cnn_rnn": CnnRnn, "22_cut_out": CutOut, "23_shap": Shap,
            "24_do_the_maps_mean_anything": MapTests, "30_speed_regression": SpeedRegression,
            "40_bilateral_m1": BilateralM1, "41_m1_split_audit": M1SplitAudit,
            "42_forelimbs_from_widefield": Forelimbs, "50_your_data": YourData, "51_your_model": YourModel,
            "52_real_time": RealTime}


def schema_of(chapter):
    """The parameter schema of a chapter; ParameterError if there is no such chapter."""
    if chapter not in CHAPTERS:
        raise ParameterError("chapter", repr(chapter), f"one of {', '.join(CHAPTERS)}", "name one of these")
    return CHAPTERS[chapter]


def validate(chapter, values):
    """The parameters of a chapter, checked. ParameterError, which names the first trouble and its remedy: one is
    unknown, missing, of another type or out of range."""
    schema = schema_of(chapter)
    fields = schema.model_fields
    try:
        return schema(**values)
    except ValidationError as error:
        # A misspelt name first: what it was meant to be is then missing, too.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        name, kind = str(first["loc"][0]), first["type"]
        found, remedy = repr(first["input"]), f"set {name} to such a value"
        if kind == "extra_forbidden":
            near = difflib.get_close_matches(name, fields, n=1)
            found, wanted = "a parameter this chapter does not have", f"one of {', '.join(fields)}"
            remedy = f"did you mean '{near[0]}'?" if near else "leave it out, or name one of these"
        else:
            allowed = (fields[name].json_schema_extra or {}).get("allowed", "").replace("`", "")
            said = allowed if kind == "string_pattern_mismatch" else first["msg"]
            wanted = f"{fields[name].description} ({said})"
        if kind == "missing":
            found = "nothing"
        if kind == "string_type":
            remedy = f'give it as text: {name} = "{values[name]}"'
        raise ParameterError(f"parameter '{name}' of {chapter}", found, wanted, remedy) from error


def typed(chapter, name, text):
    """A parameter as typed, of the type that it has in the chapter; text where it fits none, which is refused later."""
    field = schema_of(chapter).model_fields.get(name)
    try:
        return TypeAdapter(field.annotation).validate_python(text) if field else text
    except ValidationError:
        return text
