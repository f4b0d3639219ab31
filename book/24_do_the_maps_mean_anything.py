# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do the maps mean anything?
#
# **You will learn** how to test a map of "what the decoder looks at" before you believe it: against ground truth,
# against a network whose weights were shuffled, against labels of other sessions, against random maps, against other
# folds, and against the habit of recurrent networks to look at late frames; and which of six methods passes which test.
#
# **Data** any data set with ROI traces and a run label, or another behaviour of 0 and 1, which `-p target NAME` decodes
# (the text says *running* for it); tests against truth need simulated data. By default simulated:
# 5 animals, 50 ROIs, and small simulated worlds beside it, of 3 animals each.
#
# **Cost** smoke: a minute; demo, which is what the parameters below say: about three minutes on 2 cores; paper, 20
# folds of the published training and all worlds: a day; not measured by us.
#
# **Reproduces** no figure: the studies show maps and do not test them. **Adds** six methods held against sixteen tests
# in one table, with intervals over animals, and advice that follows from the table by stated rules.

# %%
import numpy as np
import pandas as pd

from calcium_decoding.explain import map_runs, shap_maps
from calcium_decoding.explain.attribution import METHODS
from calcium_decoding.plotting import style
from decoding_book.chapter import start
from decoding_book.chapters import shap, tables
from decoding_book.chapters.map_tests import figures, scenarios, tests

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
target = "run"  # behaviour that is decoded: 0 and 1
regime = "auto"  # split: auto, or a name in splits.REGIMES
recipe = "auto"  # preprocessing: auto, or a name in preprocessing.RECIPES
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
n_blocks = 5  # blocks of a recording in the blocked split
model = "gru"  # decoder to explain
output = "probability"  # output to explain: probability, or logit
explained = 40  # test windows to explain in each fold, spread evenly
background = 40  # test windows they are compared with, drawn by the seed
folds = 3  # folds, spread evenly; 0: all
seeds = 1  # trainings of each fold, with seeds from this one on
null_folds = 2  # folds the null is refitted on, of those above; 0: all
repeats = 1  # folds done again: other validation, initial weights, backwards
random_maps = 3  # random maps for the curves of each method
worlds = "single_area,haemodynamics_only,motion_artefact_only,lead,lag"  # worlds
world_frames = 1500  # frames of each of nine sessions of a world
train_every = 4  # train and validate on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("24_do_the_maps_mean_anything", globals())
experiment = chapter.plan(n_folds=folds)
ms = np.arange(-past_frames, future_frames + 1) * 1000 / chapter.rate_hz
pool = {"store": chapter.store, "jobs": jobs or None}

# %% [markdown]
# ## Six methods
#
# Four look into the network. **Deep SHAP** (chapter 23) divides the output among ROIs and frames so that it sums up.
# **Expected gradients** take gradients at points on the way from background windows to the explained one, by the
# package shap. **Gradient × input** takes one gradient, at the window itself. **Masking** sets a ROI to its mean and
# looks how much the output moves. Two look at logistic regression on the labelled frame: the sizes of its **weights**,
# and the **forward patterns** that belong to them (Haufe et al. 2014), which say how a ROI correlates with what the
# decoder reads; a ROI may have a large weight only because it holds the noise of another one.
#
# In each fold all six are asked about the same decoders, with the same test windows. Then the same again with the
# read-out shuffled, with all weights shuffled, and with decoders trained on labels of other sessions.
#
# First what came out in the stored training. The tests are explained one by one below, where the same table is made
# from the training of this page, and so are the rules of the advice.

# %%
kept, kept_said = chapter.stored_table("tests")
tables.show(tests.table(kept) if len(kept) else kept, said=kept_said)

# %%
if len(kept):
    print(f"no advice: {kept_said}" if kept_said else tests.advice(kept))

# %% [markdown]
# From here on everything is of the training of this page, with the effort that its parameters say.

# %%
asked = map_runs.MapSettings(explained, background, output)
thorough = map_runs.MapSettings(explained, background, output, shuffle=True,
                          n_random=random_maps, keep=True)
found = [one for more in range(seeds) for one in map_runs.run(
    experiment.with_(seed=seed + more), model, thorough, **pool)]
nulls, null_statement = map_runs.run_null(
    chapter.plan, chapter.dataset, seed, model, asked, folds, null_folds,
    **pool)
print("null    ", null_statement)

# %%
decoders = {"this data set": found, "labels of other sessions": nulls}
tables.show(tests.score_table(decoders))

# %% [markdown]
# A map of a decoder at chance means nothing. Wherever the interval of the AUC over animals reaches 0.5, the table above
# says so, and every figure below in red; likewise where the training had not converged. The second row is *meant* to be
# at chance: its maps show what a map looks like when nothing was found.
#
# ## What the six say
#
# The mean map of each method, in shares of its largest ROI; on top, where the data are simulated, what running was
# made to drive. That truth is a share of variance: how much of each ROI's activity follows running. A decoder need not
# use ROIs in this order, for it wants information, and a ROI adds none that others already gave.

# %%
truth, statement = shap.ground_truth(chapter.dataset)
drive = None if truth.empty else truth["share_driven"].to_numpy()
print(statement)

# %%
rows = {} if drive is None else {"planted drive": drive}
for method, label in METHODS.items():
    of_folds = [one.by_roi(method) for one in found if not one.reason]
    rows[label] = np.mean(of_folds, axis=0)
image = pd.DataFrame(rows).T
image = image.div(image.max(axis=1), axis=0)
fig, (ax,) = style.panels(1, width=13, height=3.6)
shown = ax.imshow(image, aspect="auto", cmap="magma", vmin=0, vmax=1,
                  extent=(0.5, len(image.columns) + 0.5, len(image), 0))
fig.colorbar(shown, ax=ax, label="share of the largest", pad=0.02)
ax.set_yticks(np.arange(len(image)) + 0.5, image.index)
ax.set_xlabel("ROI")
said = shap_maps.warning(found)
ax = style.simulated_mark(style.warned(ax, said), found)

# %% [markdown]
# One fold, window by window, as the package shap draws it: to the right, what speaks for running; the colour says
# whether the ROI was active in that window. Maps of absolute values lose this sign.

# %%
fig, (ax,) = style.panels(1, width=9, height=4.6)
ax = style.warned(figures.beeswarm(found[0], ax), said)

# %% [markdown]
# ## Small worlds with a known answer
#
# In one world running drives the eight limb ROIs and nothing else. In another it changes only the absorption of light
# by blood, in a third it only moves the brain under the camera: no neuron follows running there. In the last two all
# areas lead, or follow, by half a second. Each has three animals, tested one after the other, and decoders of its own.
# Two more sets of decoders belong to the chapter's data: other folds of the same test animals, and other initial
# weights.

# %%
names = [name for name in worlds.split(",") if name]
in_worlds = scenarios.examine(
    names, experiment, model, asked, world_frames, seed, **pool)
repeat = {"model": model, "asked": asked, "n": repeats, **pool}
again = map_runs.other_folds(chapter.plan(say=False), experiment, **repeat)
others = map_runs.other_seeds(experiment.with_(seed=seed + seeds - 1), **repeat)
played = scenarios.time_reversed(experiment, **repeat)
flat = scenarios.on_flat(
    experiment, model, asked, seed, world_frames, **pool)

# %%
tables.show(tests.score_table(
    {name: some for name, (some, _) in in_worlds.items()} | flat
    | {"this data set, played backwards": played}))

# %% [markdown]
# ## Do maps point where nothing neural is?
#
# Decoders may do well in the worlds of blood and of movement. Their maps look like any other map. If the dots rise,
# the map truly says where blood or movement is, and nobody who looks at it could tell that no neuron is in it. Only
# other measurements can: a second wavelength for blood, the shift of the image for movement (chapters 20 and 22).

# %%
fig, axes = style.panels(2, width=11, height=3.8)
artefacts = {"haemodynamics_only": "blood", "motion_artefact_only": "movement"}
for ax, (name, cause) in zip(axes, artefacts.items(), strict=True):
    if name not in in_worlds:
        style.nothing(ax, "this world was not asked for")
        continue
    some, shares = in_worlds[name]
    mean = np.mean(
        [one.by_roi("deep_shap") for one in some if not one.reason], axis=0)
    shap.against_truth(mean, shares, f"share of variance by {cause}", ax)
    style.simulated_mark(style.warned(ax, shap_maps.warning(some)), some)

# %% [markdown]
# ## Against truth, shuffled weights and other folds
#
# A dot is a test animal, the bar their mean. Upper row, from left: how well the order of ROIs agrees with the true
# one; how many of eight driven ROIs are found in the world where only they are driven; what is left of the map when all
# weights are shuffled. A map that outlives that shows the input, not what was learnt (Adebayo et al. 2018). For forward
# patterns it must: they are the covariance of the traces, seen through the weights. Lower row: labels of other
# sessions, other test animals, other initial weights. Where the last is low, the ROI that leads is a matter of luck.

# %%
rows = tests.rows_of(
    found, drive, nulls, again, others, in_worlds, flat[model])
asked_of = {"planted": found, "all": found,
            "single_area": in_worlds.get("single_area", (found, None))[0]}
fig, axes = style.panels(3, width=14, height=3.6)
for ax, test in zip(axes, ("planted", "single_area", "all"), strict=True):
    figures.strip(rows, test, ax, asked_of[test])

# %%
fig, axes = style.panels(3, width=14, height=3.6)
for ax, test in zip(axes, ("labels", "animals", "seeds"), strict=True):
    figures.strip(rows, test, ax, found)

# %% [markdown]
# ## What the network loses without its largest ROIs
#
# Left: ROIs are set to their mean, the largest of each map first, and the network is tested again; the faster the AUC
# falls, the better the map knows the network. Right: all ROIs are at their mean and the largest are restored first.
# Grey: ROIs in random order. Black: random maps of the same values that are as smooth over ROIs that go together as the
# maps are, which is the fairer rival. Masking has an advantage here, since it was made by the same operation; and
# windows with ROIs at their mean are windows the network never saw.

# %%
fig, axes = style.panels(2, width=12, height=4)
figures.curves(found, "deletion", axes[0])
figures.curves(found, "insertion", axes[1])
ax = axes[0].legend(fontsize=7)

# %% [markdown]
# ## Late frames
#
# Left: data in which every frame of the window says equally much. A map that is not flat there shows a habit of the
# network, which is read at its last frame; a network that reads from both ends looks at both. Middle: worlds in which
# the brain leads or follows by half a second, 15 frames: the centre should move by 30. Right: the chapter's data, and
# the same recording time-reversed with a network of its own, its map turned back. What belongs to the data keeps its
# place; what belongs to the network is mirrored.

# %%
both = {"film as it was": found, "played backwards": played}
timed = {name: in_worlds[name][0] for name in in_worlds if name in ("lead", "lag")}

# %%
fig, axes = style.panels(3, width=15, height=3.8)
for ax, named in zip(axes, (flat, timed, both), strict=True):
    for name, some in named.items():
        known = [one.by_frame("deep_shap") for one in some if not one.reason]
        shares = pd.DataFrame([100 * frames / frames.sum() for frames in known]).T
        (line,) = ax.plot(ms, shares.mean(axis=1), lw=2, label=name)
        line.set_linestyle("--" if name == "played backwards" else "-")
        ax.plot(ms, shares, color=line.get_color(), lw=0.5, alpha=0.5)
    if not named:
        style.nothing(ax, "no map by frame")
        continue
    ax.axhline(100 / len(ms), color=style.NULL_COLOUR, ls=":", lw=1.2)
    ax.axvline(0, color=style.NULL_COLOUR, ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylim=(0, None),
           ylabel="Deep SHAP, % of the window")
    ax.legend(fontsize=8)
    everything = [one for some in named.values() for one in some]
    style.simulated_mark(
        style.warned(ax, shap_maps.warning(everything)), everything)

# %% [markdown]
# ## The table
#
# Mean over test animals with its 95 % t interval, within the bounds of the test, where there are three or more; a dash
# where a method cannot take the test. Animals share training data, and agreement between two animals counts for both,
# so intervals are rather too narrow. For rows of blood and movement no value is right or wrong: they say what a map
# follows when there is nothing else to follow.

# %%
tables.show(tests.table(rows), said=said)

# %% [markdown]
# ## Advice
#
# Put together from the table by these rules: the method nearest to the true order is named first; methods are warned of
# whose map agrees with that of shuffled weights at more than 0.5; methods pass the test of deletion if the whole
# interval lies above smooth random maps. Of decoders at chance or not converged there is no advice.

# %%
print(f"no advice: {said}" if said else tests.advice(rows))

# %% [markdown]
# ## How near Deep SHAP comes to Shapley values
#
# Deep SHAP follows rules. Shapley values need none: they switch sets of inputs from a background window to the
# explained one in thousands of random orders, which is too slow for maps. For one GRU, on simulated data of their own,
# both were made against the same background windows and stored (`benchmarks/shapley_agreement.py`); what it was, and by
# which code, stands first. `updates` are the steps it was trained for: 600, as in the demo, and 3,000. Its losses were
# not stored, so that it is not known whether the training had converged. Sets are all frames of a ROI, all ROIs of a
# frame, or single inputs. The reliability tells how much noise of sampling is left; `in doubt` is the share of test
# windows whose probability lies between 0.05 and 0.95. A network trained for longer is surer, and its probability a
# harder case.

# %%
stored, about = shap.stored_agreement()
tables.show(pd.DataFrame(
    [(what, str(about[what]).strip("{}")) for what in (
        "model", "data", "simulated", "training", "background", "code_version")],
    columns=["what", "value"]))

# %%
columns = ["updates", "auc", "players", "output", "r", "r_of_maps",
           "reliability", "rms_error_over_rms", "in_doubt"]
tables.show(stored[columns], decimals=2)

# %% [markdown]
# `r` is over windows and sets, `r of maps` over the mean absolute values that maps show. Maps of ROIs agree closely;
# values of single windows less, and less for the probability than for the logit; the course over frames agrees least,
# and single inputs lie between. The ROIs of Fig 6A are better founded than its moments.

# %% [markdown]
# ## What this does not show
#
# - **Not what brains do.** The ground truth is ours; a method that finds it there may fail on what we did not think of.
# - **Not the best map for your question.** What a network uses and where the brain follows behaviour are two
#   questions. A test against simulated drive asks the second, shuffled weights and deletion ask the first.
# - **Not proof by passing.** A map that fails a test is refuted; one that passes all is not yet right.
# - **Not all methods.** Six common ones, one size of network, one kind of data.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# test of every method included, is the `.card.json` beside the executed notebook.

# %%
scores = tests.card_scores(rows, found)
card = chapter.card(experiment, null=null_statement, scores=scores,
                    tables={"tests": (rows.drop(columns="simulated"), said)})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
