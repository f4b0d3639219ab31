"""What the book shows of real recordings: GRU and a quick linear decoder, each beside a null, as cards in book/stored.

    python benchmarks/real_recordings.py [--write]

The recordings are fetched by ``calcium-decoding data fetch isfn-widefield`` and ``multiple-maps``, or lie in the folder
that ``CALCIUM_DECODING_DATA`` names; they state no licence and are not shipped. A single session gets linear shifts of
behaviour against brain, within its central half, as Harris 2020 (DOI 10.1101/2020.11.29.402719); several sessions of an
animal get behaviour of each other. AUCs are means over folds; R2 medians, since a fold in which the animal hardly moves
has one far below 0. Finished folds are kept: what was interrupted goes on.
"""

import argparse

import numpy as np

import calcium_decoding as cd
from calcium_decoding.data.catalog import project_root
from calcium_decoding.evaluation import cards, nulls
from calcium_decoding.experiments import engine
from calcium_decoding.models.training import TrainingSettings

SEED = 123
FOLDS = 6  # spread evenly; all where there are fewer
TRAINING = {"epochs": 2, "min_updates": 600, "batch_size": 32, "learning_rate": 0.005, "train_every": 4}
# Data set, null and its draws; by chapter what is decoded of each, with the draws of the network, which take longer.
RECORDINGS = [("isfn-widefield", "linear_shift", 40), ("multiple-maps", "repairing", 20)]
QUESTIONS = {
    "10_roi_rnn": ("gru", "logistic_window",
                   {"isfn-widefield": (cd.Binary("run"), 40), "multiple-maps": (cd.Binary("run"), 1)}),
    "30_speed_regression": ("speed_gru", "linear", {"isfn-widefield": (cd.Continuous("wheel"), 1),
                                                    "multiple-maps": (cd.Continuous("velocity"), 1)}),
}


def measure(dataset, null, n_draws, chapter, store):
    """Card of one data set in one chapter: all decoders on all folds, then on the draws of a null."""
    network, linear, of = QUESTIONS[chapter]
    way, name = nulls.null_of(null), dataset.name
    task, network_draws = of[name]

    def experiment(data):
        return cd.Experiment(data, task=task, decoders=(network, linear), n_folds=FOLDS,
                             training=TrainingSettings(seed=SEED, **TRAINING))

    plan = experiment(dataset)
    found = engine.run(plan, plan.decoders, store, label=f"{chapter}, {name}")
    metric, scores = plan.task.main_score, cards.fold_scores(found)
    for decoder in plan.decoders:
        base = experiment(way.observed(dataset))
        observed = _over_folds(base, decoder, store)
        drawn = [_over_folds(experiment(data), decoder, store)
                 for data in way.draws(dataset, n_draws if decoder == linear else network_draws, SEED)]
        scores += [cards.Score(model=f"{decoder}, as for its null", metric=metric, scope="over folds", value=observed),
                   *cards.summarise(f"{decoder} null", drawn, metric, unit="draws")]
        if len(drawn) > 1:
            scores.append(cards.Score(model=decoder, metric="p", scope=f"of {len(drawn)} draws",
                                      value=way.p_value(observed, np.array(drawn)), n=len(drawn)))
    return cards.ResultCard(
        chapter=chapter, dataset=name, simulated=False, claim=plan.split.claim, scores=scores,
        null=f"{way.title}: {n_draws} draws" + (", on the central half" if null == "linear_shift" else ""),
        refused=[cards.Refused(session=r.session, reason=r.reason) for r in dataset.refused],
        not_evaluable=[cards.NotEvaluable(fold=f"{f.fold} ({f.model})", reason=f.reason)
                       for f in found if f.reason],
        provenance=cards.provenance(dataset, plan.split.hash(), SEED,
                                    {"target": plan.task.names[0] if hasattr(plan.task, "names") else plan.task.name,
                                     "folds": len(plan.split.folds), "null": null, "draws": n_draws,
                                     "recipe": plan.recipe["name"], **TRAINING}))


def _over_folds(plan, decoder, store):
    """The main score over the folds that have one: mean, or median of R2."""
    values = [f.scores[f.main_score] for f in engine.run(plan, [decoder], store, label="") if f.scores]
    return float((np.median if plan.task.main_score == "r2" else np.mean)(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the cards in book/stored")
    write, store = parser.parse_args().write, project_root() / "_build" / "folds"
    for name, null, n_draws in RECORDINGS:
        dataset = cd.load_dataset(name)
        for chapter in QUESTIONS:
            card = measure(dataset, null, n_draws, chapter, store)
            print(card.rounded(), flush=True)
            if write:
                card.save(cards.stored_folder() / f"{chapter}.{name}.card.json")


if __name__ == "__main__":
    main()
