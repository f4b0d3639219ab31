"""What a chapter calls: check the parameters, open the data, plan the experiment, file the result."""

import ast
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import calcium_decoding as cd
from calcium_decoding import preprocessing, simulation, splits
from calcium_decoding.data.catalog import folds_folder, project_root
from calcium_decoding.errors import ParameterError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import Results, compare, compared, engine, tasks
from calcium_decoding.plotting.style import use_style
from calcium_decoding.preprocessing import recipes
from calcium_decoding.utils.files import hash_content
from decoding_book import movie_plan
from decoding_book.parameters import Parameters, schema_of, validate

_TRAINING = ("train_every", "epochs", "batch_size", "min_updates", "learning_rate", "seed", "device")


@dataclass(frozen=True, eq=False)
class Chapter:
    """A chapter that has been started: its parameters and its data."""

    name: str
    parameters: Parameters
    dataset: cd.Dataset

    @property
    def store(self):
        """Folder where finished folds are kept between runs."""
        return folds_folder()

    @property
    def rate_hz(self):
        """Frames per second of the recordings; DataError if they do not all have the same."""
        return self.dataset.rate_hz

    @property
    def task(self):
        """The event that ``target`` names (Binary or Classes); ParameterError: not for this chapter; DataError: not
        there."""
        name = self.parameters.target
        task = tasks.event_of(name, self.dataset)
        if task.kind not in self.parameters.DECODES:
            raise ParameterError("target", f"'{name}', which has other values than 0 and 1", "a behaviour of 0 and 1",
                                 "decode classes in chapter 10_roi_rnn, quantities in chapter 30_speed_regression, or "
                                 "make it 0 and 1 first")
        return task

    def plan(self, dataset=None, recipe=None, n_folds=0, spec=None, changes=None, say=True, target="",
             target_smoothing="none"):
        """The experiment that the parameters describe, on this chapter's data or on others, audited; prints the split.

        ``recipe``, ``spec``: another preprocessing, window or label shift. ``n_folds``: keep only so many, spread
        evenly; 0: all. ``changes``: other arguments of :func:`calcium_decoding.preprocessing.build`. ``target``,
        ``target_smoothing``: what is decoded, a task or as for :func:`calcium_decoding.experiments.tasks.task_of`, if
        not what the parameters say. ParameterError, LeakError, DataError: these data do not allow the split, or it
        leaks; a recording lacks the target.
        """
        p = self.parameters
        dataset = dataset or self.dataset
        if not target and hasattr(p, "DECODES"):
            target = self.task
        elif isinstance(target, str):
            target = tasks.task_of(target or getattr(p, "target", "run"), target_smoothing)
        task = target.of(dataset)
        regime = dataset.regime if p.regime == "auto" else p.regime
        name = recipe or (recipes.SUITS[regime] if p.recipe == "auto" else p.recipe)
        recipe = {"name": name, "rate_hz": dataset.rate_hz, "baseline_frames": p.baseline_frames, **(changes or {})}
        spec, pipeline = spec or cd.WindowSpec(p.past_frames, p.future_frames), preprocessing.build(**recipe)
        options = {"n_blocks": p.n_blocks} if regime == "blocked" else {}
        split = splits.build(regime, dataset, spec, pipeline, label_smoothing_frames=tasks.label_reach(task, dataset),
                             **options)
        # A chapter on movies trains no network on traces, and has no parameters of such a training.
        settings = cd.TrainingSettings(**{name: getattr(p, name) for name in _TRAINING if hasattr(p, name)})
        experiment = cd.Experiment(dataset, split, cd.Traces(recipe, spec), task, training=settings)
        return _planned(experiment, n_folds, say, [
            ("input", f"{preprocessing.RECIPES[name]}; windows of {spec.length} frames, "
                      f"{spec.look_ahead_ms(dataset.rate_hz):.0f} ms of them after the labelled frame"),
            ("device", str(settings.torch_device()))])

    def plan_images(self, dataset=None, n_folds=0, changes=None, say=True):
        """The same on movies; ``changes``: other arguments of :func:`decoding_book.movie_plan.plan`."""
        experiment = movie_plan.plan(self.parameters, dataset or self.dataset, **changes or {})
        return _planned(experiment, n_folds, say, movie_plan.described(experiment, self.rate_hz))

    def motion_arms(self):
        """This chapter's data and others that differ in movement: :func:`decoding_book.movie_plan.motion_arms`."""
        return movie_plan.motion_arms(self.dataset, self.store, self.parameters.data_dir or None)

    def decode(self, experiment, names=None):
        """Train and test models on every fold, those that the parameters name if left out; a FoldResult each."""
        return engine.run(experiment, names or self.parameters.models.split(","), self.store,
                          self.parameters.jobs or None, label="decoders")

    def decode_null(self, way="repairing"):
        """Refit on data whose sessions have behaviour of other sessions: list of FoldResult, and which null it is.
        ``way``: "repairing", one draw without fixed points, or "published", the study's permutation. The list is empty
        where there is no such null; the statement then says why."""
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

    def stored(self, label):
        """A comparison of the stored training of this chapter, by label, a Comparison, whatever this chapter runs on;
        prints what training that was. Empty, and said so, where none is stored."""
        card = cards.stored_card(self.name)
        found = compared.from_record(card.comparisons.get(label, ())) if card else compare.Comparison()
        if not found:
            _say("stored", f"no training of {label} is stored")
            return found
        one = found[0]
        hours = sum(fold.seconds for result in found for fold in result.folds) / 3600
        _say_stored(card, f"{len(one.values())} folds of {len(one.by_animal())} test animals, {len(one.seeds)} seed(s)",
                    f"{hours:.1f} hours of one processor; ")
        return found

    def stored_table(self, label):
        """A table of the stored training of this chapter, by label, a DataFrame, and what has to be said above it in
        red; prints what training that was. Without rows, and said so, where none is stored."""
        card = cards.stored_card(self.name)
        kept = card.tables.get(label) if card else None
        if kept is None:
            _say("stored", f"nothing of {label} is stored")
            return pd.DataFrame(), ""
        found = pd.DataFrame(kept.columns)
        _say_stored(card, f"{found['animal'].nunique()} test animals")
        return found.assign(simulated=card.simulated), kept.said

    def card(self, experiment=None, folds=(), nulls=(), null="none: nothing is decoded here", scores=(),
             comparisons=None, tables=None):
        """Make the result card (ResultCard) and write it to the folder that the parameter ``out_dir`` names.
        ``experiment``: what was run, anything with a ``split``, or several; left out where nothing is decoded.
        ``folds``, ``nulls``: sequence of FoldResult. ``null``: what :meth:`decode_null` says. ``scores``: further
        numbers, each a Score, Results, a Comparison, or a list of these. ``comparisons``: by label, of which the card
        keeps every training. ``tables``: by label, a tidy DataFrame and what has to be said above it."""
        plans = (experiment,) if hasattr(experiment, "split") else tuple(experiment or ())
        planned = [plan.split for plan in plans]
        hashes = [split.hash() for split in planned] or ["none"]
        refused = [(r.session, r.reason) for r in self.dataset.refused]
        refused += [skipped for split in planned for skipped in split.skipped]
        card = cards.ResultCard(
            chapter=self.name, dataset=self.dataset.name, simulated=self.dataset.simulated,
            kind="decoding" if planned else "data", null=null,
            claim=", ".join(dict.fromkeys(split.claim for split in planned)) or "none",
            clock=cards.clock_notes(self.dataset),
            scores=[*_scores(scores), *cards.fold_scores(folds), *cards.fold_scores(nulls, suffix=" null")],
            refused=[cards.Refused(session=session, reason=reason) for session, reason in refused],
            not_evaluable=[cards.NotEvaluable(fold=f"{f.fold} ({f.model})", reason=f.reason)
                           for f in folds if f.reason],
            comparisons={label: compared.recorded(found) for label, found in (comparisons or {}).items() if found},
            tables={label: cards.Kept(columns=table.round(6).to_dict("list"), said=said)
                    for label, (table, said) in (tables or {}).items()},
            provenance=cards.provenance(
                self.dataset, hashes[0] if len(hashes) == 1 else hash_content(hashes), self.parameters.seed,
                self.parameters.model_dump(exclude={"data_dir", "out_dir"})))
        folder = Path(self.parameters.out_dir) if self.parameters.out_dir else project_root() / "_build" / "cards"
        card.save(folder / f"{self.name}.card.json")
        return card


def start(chapter, namespace, movies=False):
    """Begin a chapter (Chapter): check its parameters, seed, open its data, print what they are.

    ``namespace``: ``globals()`` of the notebook, right after the cell of parameters. ``movies``: open the movies too,
    and see that the first weights of the networks can be had. ParameterError: a parameter is unknown, missing or not
    allowed; or movies of data that have none. DataError: the data set is not usable, or the weights cannot be had.
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


def _scores(given):
    """All of ``given`` as a flat iterator over Score."""
    for one in given:
        if isinstance(one, cards.Score):
            yield one
        elif isinstance(one, Results):
            yield from cards.fold_scores(one)
        else:
            yield from compare.card_scores(one) if isinstance(one, compare.Comparison) else _scores(one)


def _injected(namespace):
    """Names that papermill set in its own cell, which nothing else checks: it only warns of unknown ones."""
    for source in reversed(namespace.get("In", [])):
        if source.startswith("# Parameters\n"):
            return [target.id for node in ast.parse(source).body if isinstance(node, ast.Assign)
                    for target in node.targets if isinstance(target, ast.Name)]
    return []


def _describe(dataset, movie_notes):
    kind = "SIMULATED, no animal was recorded" if dataset.simulated else "recorded"
    minutes = sum(r.n_frames / r.rate_hz for r in dataset.recordings) / 60
    n_rois = sorted({r.n_roi for r in dataset.recordings})
    rois = " to ".join(map(str, dict.fromkeys((n_rois[0], n_rois[-1]))))
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


def _say_stored(card, trained, took=""):
    """Print what a stored training was: its data, settings, and how to make it anew."""
    p = card.provenance.parameters
    data = f"{card.dataset} ({'SIMULATED' if card.simulated else 'recorded'}), content {card.provenance.data_hash}"
    names = [*_TRAINING, *(name for name in p if name.startswith(("cnn_", "rnn_")))]
    how = ", ".join(f"{name} {p[name]}" for name in names if name in p and name != "device")
    _say("STORED", f"not trained on this page but kept with the book: {data}")
    _say("", f"{trained}; {how}")
    _say("", f"{took}`calcium-decoding book store {card.chapter}` makes it anew")


def _say(label, text):
    """Print one labelled fact, wrapped to the width of a page."""
    print(textwrap.fill(text, 78, initial_indent=f"{label:<9}", subsequent_indent=" " * 9))
