"""What a chapter calls: check the parameters, open the data, plan the experiment, file the result."""

import ast
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calcium_decoding import preprocessing, simulation, splits
from calcium_decoding.data.catalog import folds_folder, project_root
from calcium_decoding.data.recording import Dataset
from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import compare, engine, tasks
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.models import training
from calcium_decoding.plotting.style import use_style
from calcium_decoding.preprocessing import recipes
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.utils.files import hash_content
from decoding_book import movie_plan
from decoding_book.parameters import Parameters
from decoding_book.validation import schema_of, validate

_TRAINING = ("train_every", "epochs", "batch_size", "min_updates", "learning_rate", "seed", "device")


@dataclass(frozen=True, eq=False)
class Chapter:
    """A chapter that has been started: its parameters and its data."""

    name: str
    parameters: Parameters
    dataset: Dataset

    @property
    def store(self):
        """Folder where finished folds are kept between runs."""
        return folds_folder()

    @property
    def rate_hz(self):
        """Frames per second of the recordings; DataError if they do not all have the same."""
        return self.dataset.rate_hz

    def plan(self, dataset=None, recipe=None, n_folds=0, spec=None, changes=None, say=True, target="",
             target_smoothing="none"):
        """The experiment that the parameters describe, on this chapter's data or on others; prints the split.

        ``recipe``: another preprocessing. ``n_folds``: keep only so many folds, spread evenly; 0: all. ``spec``:
        another window or label shift. ``changes``: other arguments of :func:`calcium_decoding.preprocessing.build`.
        ``say``: print what was planned; a sweep says it once. ``target``, ``target_smoothing``: what is decoded, if not
        what the parameters say; see :func:`calcium_decoding.experiments.tasks.task_of`. ParameterError, LeakError,
        DataError: the split cannot be made on these data, or it leaks; a recording does not have the target.
        """
        p = self.parameters
        dataset = dataset or self.dataset
        if isinstance(target, str):
            known = target or not hasattr(self.parameters, "DECODES")
            named = target or getattr(self.parameters, "target", "run")
            target = tasks.task_of(named, target_smoothing) if known else self._event(named, dataset)
        task = target.of(dataset)
        regime = dataset.regime if p.regime == "auto" else p.regime
        name = recipe or (recipes.SUITS[regime] if p.recipe == "auto" else p.recipe)
        recipe = {"name": name, "rate_hz": dataset.rate_hz, "baseline_frames": p.baseline_frames, **(changes or {})}
        spec, pipeline = spec or WindowSpec(p.past_frames, p.future_frames), preprocessing.build(**recipe)
        options = {"n_blocks": p.n_blocks} if regime == "blocked" else {}
        split = splits.build(regime, dataset, spec, pipeline, label_smoothing_frames=task.reach, **options)
        # A chapter on movies trains no network on traces, and has no parameters of such a training.
        settings = training.TrainingSettings(**{name: getattr(p, name) for name in _TRAINING if hasattr(p, name)})
        experiment = engine.Experiment(dataset, split, Traces(recipe, spec), task, training=settings)
        return _planned(experiment, n_folds, say, [
            ("input", f"{preprocessing.RECIPES[name]}; windows of {spec.length} frames, "
                      f"{spec.look_ahead_ms(dataset.rate_hz):.0f} ms of them after the labelled frame"),
            ("device", str(settings.torch_device()))])

    def _event(self, name, dataset):
        task = tasks.event_of(name, dataset)
        if task.kind not in self.parameters.DECODES:
            raise ParameterError("target", f"'{name}', which has several classes", "a behaviour of 0 and 1",
                                 "decode classes in chapter 10_roi_rnn, or make one of them 1 and the others 0")
        return task

    def plan_images(self, dataset=None, n_folds=0, changes=None, say=True):
        """The same on movies; ``changes``: other arguments of :func:`decoding_book.movie_plan.plan`."""
        experiment = movie_plan.plan(self.parameters, dataset or self.dataset, **changes or {})
        return _planned(experiment, n_folds, say, movie_plan.described(experiment, self.rate_hz))

    def decode(self, experiment, names=None):
        """Train and test models on every fold, those that the parameters name if left out; a FoldResult each."""
        return engine.run(experiment, names or self.parameters.models.split(","), self.store,
                          self.parameters.jobs or None, label="decoders")

    def decode_null(self, way="repairing"):
        """Refit on data whose sessions have behaviour of other sessions: list of FoldResult, and which null it is.

        ``way``: "repairing", one draw without fixed points, or "published", the study's permutation. The list is empty
        where there is no such null; the statement then says why.
        """
        names = [name for name in self.parameters.null_models.split(",") if name]
        if not names:
            return [], "none: no model was asked for"
        drawn, statement = compare.drawn(self.dataset, self.parameters.seed, way)
        if drawn is None:
            return [], statement
        whole = self.plan(drawn, say=False)
        few = whole.with_folds(self.parameters.null_folds)
        folds = engine.run(few, names, self.store, self.parameters.jobs or None, label="null")
        return folds, f"{statement}, refitted on {len(few.split.folds)} of {len(whole.split.folds)} folds"

    def card(self, experiment=None, folds=(), nulls=(), null="none: nothing is decoded here", scores=()):
        """Make the result card (ResultCard) and write it to the folder that the parameter ``out_dir`` names.

        ``experiment``: what was run, anything with a ``split``, or several, of which the card names every claim and
        every split; left out where nothing is decoded. ``folds``, ``nulls``: sequence of FoldResult. ``null``: what
        :meth:`decode_null` says about the null. ``scores`` (sequence of Score): further numbers.
        """
        plans = (experiment,) if hasattr(experiment, "split") else tuple(experiment or ())
        planned = [plan.split for plan in plans]
        refused = [(r.session, r.reason) for r in self.dataset.refused]
        refused += [skipped for split in planned for skipped in split.skipped]
        card = cards.ResultCard(
            chapter=self.name, dataset=self.dataset.name, simulated=self.dataset.simulated,
            kind="decoding" if planned else "data", null=null,
            claim=", ".join(dict.fromkeys(split.claim for split in planned)) or "none",
            scores=[*scores, *cards.fold_scores(folds), *cards.fold_scores(nulls, suffix=" null")],
            refused=[cards.Refused(session=session, reason=reason) for session, reason in refused],
            not_evaluable=[cards.NotEvaluable(fold=f"{f.fold} ({f.model})", reason=f.reason)
                           for f in folds if f.reason],
            provenance=cards.provenance(self.dataset, _one_hash(planned), self.parameters.seed,
                                        self.parameters.model_dump(exclude={"data_dir", "out_dir"})),
        )
        folder = Path(self.parameters.out_dir) if self.parameters.out_dir else project_root() / "_build" / "cards"
        card.save(folder / f"{self.name}.card.json")
        return card


def start(chapter, namespace, movies=False):
    """Begin a chapter (Chapter): check its parameters, seed, open its data, print what they are.

    ``namespace``: ``globals()`` of the notebook, right after the cell of parameters. ``movies``: open the movies of the
    recordings too, and see that the first weights of the networks can be had. ParameterError: a parameter is unknown,
    missing, of another type or out of range; or movies of data that have none. DataError: the data set is not here or
    not usable, or the weights cannot be had.
    """
    known = schema_of(chapter).model_fields
    given = {name: namespace[name] for name in known if name in namespace}
    given |= {name: namespace.get(name) for name in _injected(namespace)}
    parameters = validate(chapter, given)
    random.seed(parameters.seed)
    np.random.seed(parameters.seed)  # noqa: NPY002  for libraries that still draw from the global state
    use_style()
    if movies:
        movie_plan.require_movies(parameters.dataset)
    dataset = simulation.load_dataset(parameters.dataset, parameters.data_dir or None,
                                      **({"movies": True} if movies else {}))
    notes = []
    if movies:
        dataset, notes = movie_plan.open_movies(dataset, folds_folder() / "movies")
    _describe(dataset, notes)
    if movies and (fetched := movie_plan.ensure_weights(parameters.weights)):
        _say("weights", fetched)
    _say("seed", str(parameters.seed))
    return Chapter(chapter, parameters, dataset)


def _planned(experiment, n_folds, say, lines):
    """The experiment on some of its folds, audited; prints the split and further lines."""
    whole, experiment = len(experiment.split.folds), experiment.with_folds(n_folds)
    experiment.audit()
    if say:
        split = experiment.split
        folds = f"{whole} folds" if whole == len(split.folds) else f"{len(split.folds)} of {whole} folds"
        _say("split", f"{split.regime}: {folds}, a claim {split.claim}, hash {split.hash()}, audit passed")
        for label, text in lines:
            _say(label, text)
        for left_out, reason in split.skipped:
            _say("skipped", f"{left_out}: {reason}")
    return experiment


def _one_hash(planned):
    """Hash of a split, or one hash over those of several."""
    if len(planned) < 2:
        return planned[0].hash() if planned else "none"
    return hash_content([split.hash() for split in planned])


def _injected(namespace):
    """Names that papermill set in its own cell, which nothing else checks: it only warns of unknown ones."""
    for source in reversed(namespace.get("In", [])):
        if source.startswith("# Parameters\n"):
            return [target.id for node in ast.parse(source).body if isinstance(node, ast.Assign)
                    for target in node.targets if isinstance(target, ast.Name)]
    return []


def _describe(dataset, movie_notes):
    kind = "SIMULATED, no animal was recorded" if dataset.simulated else "recorded"
    minutes = sum(r.duration_s for r in dataset.recordings) / 60
    n_rois = sorted({r.n_roi for r in dataset.recordings})
    rois = " to ".join(dict.fromkeys((str(n_rois[0]), str(n_rois[-1]))))
    rates = "/".join(f"{rate:g}" for rate in sorted({r.rate_hz for r in dataset.recordings}))
    _say("data", f"{dataset.name} ({kind}), content {dataset.content_hash()}")
    _say("", f"{len(dataset.animals)} animals, {len(dataset.recordings)} recordings, {minutes:.0f} min at {rates} Hz, "
             f"{rois} ROIs")
    for line in (*movie_plan.movies_of(dataset), *movie_notes):
        _say("movies", line)
    for refusal in dataset.refused:
        _say("refused", f"{refusal.session}: {refusal.reason}")
    if dataset.caution:
        _say("caution", dataset.caution)


def _say(label, text, width=78):
    """Print one labelled fact, wrapped to the width of a page."""
    print(textwrap.fill(text, width, initial_indent=f"{label:<9}", subsequent_indent=" " * 9))
