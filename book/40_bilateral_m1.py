# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can the steps of both forelimbs be read from the motor cortex of one side?
#
# **You will learn** what a network of convolutions, a bidirectional LSTM and self-attention decodes from some hundred
# cells of one motor cortex; whether it beats simpler decoders on the same frames; what noise, cells and training time
# do to it; how a decoder gets to an animal whose cells it has never seen; and in which cells the information sits.
#
# **Data** any data set with a label of footsteps (0 none, 1 contralateral, 2 ipsilateral); movement of both paws
# where it is known. By default simulated: 4 animals, 400 to 600 cells each, deconvolved traces at 15 Hz, truth known.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: a small network, trained for seconds,
# minutes on 2 cores; paper, the settings of the study's code with 5 seeds and 5 test blocks: days on 2 cores.
#
# **Reproduces** the design of Mirzaee, Chang, Latifi 2025: the hybrid network and the LSTM in the sizes of the first
# author's code, in place of recordings that are not public. **Adds** tests of the four claims of the published summary,
# each its own section: both limbs at once, better than baselines, robust, across animals; frames held out in blocks
# with gaps, ablations, linear decoders of principal components, a null, and a check against ground truth. Each claim
# has a place for a longer, stored training; where none is stored the page says so, and the claim is not answered. This
# page's own training stands folded below it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import ConfusionMatrixDisplay

import calcium_decoding as cd
from calcium_decoding import simulation
from calcium_decoding.data.readers.footsteps import KINEMATICS
from calcium_decoding.evaluation import convergence
from calcium_decoding.evaluation.metrics import confusion
from calcium_decoding.models import hybrid
from calcium_decoding.plotting import style
from decoding_book.chapter import start
from decoding_book.chapters import tables
from decoding_book.chapters.bilateral import figures, summaries
from decoding_book.chapters.bilateral import study as studies

# %% tags=["parameters"]
dataset = "simulated-footsteps"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
animals = 3  # animals that are used; 0: all
sessions = 1  # sessions of each animal that are used; 0: all
cells = 0  # cells of each animal that are used, drawn at random; 0: all
size = "small"  # size of the networks: april_9, april_17, small
window_frames = 16  # frames of a window, the last of which is decoded
lstm_frames = 10  # frames of a window of the LSTM
components = 20  # principal components that simple decoders see
models = "hybrid,lstm,logistic,logistic_window,majority"  # decoders, hybrid first
ablations = "no_attention,no_convolution,no_bilstm"  # ablated networks; empty: none
places = 5  # places that the test block can have in a recording
blocks = 2  # places of the test block that are used, spread evenly
seeds = 2  # times that a network is trained
sweep_seeds = 1  # the same of ablations, in sweeps and for new animals
epochs = 8  # epochs over the training windows at most
patience = 8  # epochs without a better validation loss until training stops
batch_size = 32  # windows a step
learning_rate = 0.01  # highest step size of AdamW
every_frames = 5  # train on one window in so many
mixup = 0.0  # alpha of mixup; 0: none
activity = False  # train the published head of activity too
snrs = "1,2,4"  # signal-to-noise ratios to simulate anew
noises = "0,2"  # noise added to recorded data, SD of the cell
cell_counts = "50,400"  # cells in the sweep
training_shares = "0.25,1"  # shares of the training frames in the sweep
sweep_models = "hybrid,lstm,logistic_window"  # decoders in the sweeps
sweep_animals = 1  # animals in the sweeps; 0: all
minutes = "0.5,0"  # labelled minutes of a new animal; 0: all
read_in_width = 32  # channels of an animal's read-in
null_model = "hybrid"  # decoder refitted on another recording's labels; empty: none
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # trainings at a time; 0: one a processor

# %%
chapter = start("40_bilateral_m1", globals())
cd.job_settings(store=chapter.store, jobs=jobs or None)
study = studies.Study.of(chapter.dataset, chapter.parameters)
known, truth = simulation.footstep_truth(dataset) or (None, None)
used = ", ".join(str(study.dataset.of_animal(a)[0].n_roi) for a in study.animals)
print(f"animals  {', '.join(study.animals)}; cells {used}; kinematics",
      "known" if study.has_kinematics else "NOT known: sections on them stay empty")
print(f"split    blocked, 70/15/15, {blocks} of {places} places of the test block")
print(f"windows  {window_frames} frames (LSTM: {lstm_frames}), none after the last")
print(f"linear   {components} principal components of these cells, every window")
of = hybrid.SIZES[size]
print(f"network {size}: {of.units} units, {of.attention_heads} attention heads, "
      f"channels {of.channels}, dropout {of.dropout}")
print(f"training {epochs} epochs at most, patience {patience}, one window in",
      every_frames, "(networks)")

# %% [markdown]
# A sample is a window of frames with the class of its *last* frame: nothing after the decoded moment is looked at.
# Each recording is cut into three contiguous parts, 70 % to train, 15 % to validate, 15 % to test, with gaps of a
# window and a second between them; the test part goes round. Means and SDs that scale cells and movement come from
# training frames alone. The study deals out overlapping windows at random; what that does to a score is the question
# of chapter 41.
#
# ## Look first
#
# Some cells of one animal while it walks. Blue: steps of the forelimb opposite to the imaged hemisphere. Orange:
# steps of the forelimb on the same side.

# %%
first = study.all_cells.recordings[0]
cells_shown = range(0, first.n_roi, max(1, first.n_roi // 12))
frames = slice(*(round(seconds * first.rate_hz) for seconds in (5, 25)))
signal = (first.signal / first.signal.std(axis=0))[frames, cells_shown]
time_s = 5 + np.arange(len(signal)) / first.rate_hz

fig, (ax,) = style.panels(1, height=4)
figures.step_spans(ax, time_s, first.behaviour["footstep"][frames])
heights = 4 * np.arange(len(cells_shown))
ax.plot(time_s, signal - signal.min(axis=0) + heights, color=style.SIGNAL, lw=0.7)
ax.set_yticks(heights, [first.roi_names[cell] for cell in cells_shown])
style.time_axis(ax, time_s).set_ylabel("cell (4 SD apart)")
style.legend_beside(ax)
ax = style.simulated_mark(ax, first)

# %% [markdown]
# ## Training
#
# All decoders are asked about the same frames, of the same cells. Networks are trained alike: AdamW under a one-cycle
# schedule, gradients clipped at a norm of 1, a class-weighted focal loss (exponent 2) for three classes and for each
# foot against the rest, plus the mean squared error of the movement of both paws where it is known. Validation frames
# choose the epoch of a network, and the penalty of a linear decoder. The *hybrid* has three convolutions over time with
# mixed normalisation and a skip, a BiLSTM of two layers, self-attention over the window, and takes the mean over its
# frames. The *LSTM* is the study's baseline. *Majority* says what is most frequent.
#
# The linear decoders are those of chapter 41, under the same names. They see the first principal components of all
# cells, found in the training frames, and learn from every training window, also where the networks pass over some:
# with hundreds of cells times the frames of a window they would have more weights than windows, and a network would
# win against that handicap. *Logistic, 1 frame* sees the last frame, *logistic, window* all of them; the movement is
# decoded by ridge regression on the same.
#
# The **null**: the same training, but each recording has the labels of another one. Rhythm, lengths and shares of the
# steps stay, and nothing is left to decode.

# %%
main = study.decode(models.split(","), seeds)
ablated = study.decode(
    [m for m in ablations.split(",") if m], sweep_seeds, "ablations")
decoded = pd.concat([main, ablated], ignore_index=True)
null, null_statement = studies.decode_null(chapter.dataset, chapter.parameters)
print(null_statement)

# %% [markdown]
# ## Claim 1: both limbs at once
#
# One network gives the class of the step and the position and speed of both paws, from the same window. First a
# stretch of test frames, from the training of this page: decoded probability of a step of either foot, and the movement
# of each paw.

# %%
one, rate_hz = main["fold"][0], chapter.rate_hz
here = slice(*np.searchsorted(one.centre - one.centre[0], [rate_hz, 9 * rate_hz]))
time_s = one.centre[here] / rate_hz

fig, (ax,) = style.stack(1, height=1.9)
figures.step_spans(ax, time_s, one.labels[here])
for foot, colour in figures.FEET.items():
    p = one.others[f"{foot}/predicted"][here]
    ax.plot(time_s, p, color=colour, lw=1.2, label=f"{foot}, decoded")
ax.axhline(0.5, color=style.NULL_COLOUR, ls=":", lw=1)
style.time_axis(ax, time_s).set(ylabel="decoded p(step)", ylim=(-0.03, 1.03))
style.legend_beside(ax)
ax = style.simulated_mark(style.warned_of(ax, [one]), one)

# %%
fig, axes = style.stack(2, height=1.9)
paws = "contra_position_mm", "ipsi_position_mm"
for ax, name, (foot, colour) in zip(axes, paws, figures.FEET.items(), strict=True):
    if figures.nothing(main, "r2", ax):
        continue
    true, said = (one.others[f"kinematics/{part}"][here, KINEMATICS.index(name)]
                  for part in ("labels", "predicted"))
    ax.plot(time_s, true, color=style.SIGNAL, lw=1.2, label="true")
    ax.plot(time_s, said, color=colour, lw=1.2, label="decoded")
    style.time_axis(ax, time_s).set_ylabel(f"{foot}\nposition (mm)")
    style.legend_beside(ax)
    style.simulated_mark(style.warned_of(ax, [one]), one)

# %% [markdown]
# Accuracy alone flatters: most frames have no step of a given foot. So every score is compared with what *majority*
# gets. Balanced accuracy is the mean share of each class that is found, 1/3 by chance. AUC is taken from scores, one
# class against the rest, 0.5 by chance. First the stored training, where there is one; without it no claim is answered:

# %%
stored = studies.from_stored(chapter.stored("decoders"))
tables.show(summaries.summary(stored))

# %%
tables.show(summaries.by_foot(stored))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
tables.show(summaries.summary(main))

# %% tags=["hide-output"]
tables.show(summaries.by_foot(main))

# %% [markdown]
# What is taken for what, in the training of this page:

# %%
classes = "none", "contralateral", "ipsilateral"
fig, axes = style.panels(3, width=13, height=3.8)
for ax, model in zip(axes, ("hybrid", "lstm", "logistic_window"), strict=True):
    of_model = main[main["model"] == model]
    if figures.nothing(of_model, "balanced_accuracy", ax):
        continue
    shares = [confusion(fold.labels, fold.predicted)
              for fold in of_model["fold"] if not fold.reason]
    ConfusionMatrixDisplay(np.mean(shares, axis=0), display_labels=classes).plot(
        ax=ax, cmap="Blues", values_format=".2f", colorbar=False,
        xticks_rotation=20, im_kw={"vmin": 0, "vmax": 1})
    ax.set(xlabel="decoded", ylabel="true", title=summaries.MODEL_LABELS[model])
    style.simulated_mark(style.warned_of(ax, of_model["fold"]), main)

# %% [markdown]
# Left, how well each class is told from the others (one-vs-rest). Right, the movement of each paw: R² is the share of
# its variance that is decoded; 0 is what always saying its mean gets. Where a recording has no movement of the paws,
# the panel says so. First the stored training:

# %%
by_class = {name: f"auc_{name}" for name in classes}
by_limb = {f"{name}\npaw": f"r2_{name}" for name in classes[1:]}
fig, axes = style.panels(2, width=13, height=3.8)
figures.dots(stored, by_class, axes[0], "AUC", chance=(0.5, "chance"))
ax = figures.dots(stored, by_limb, axes[1], "R²", chance=(0, "mean"))

# %%
of_movement = "r2", "r2_contralateral", "r2_ipsilateral"
tables.show(summaries.summary(stored, of_movement))

# %% tags=["hide-output"]
fig, axes = style.panels(2, width=13, height=3.8)
figures.dots(main, by_class, axes[0], "AUC", chance=(0.5, "chance"))
ax = figures.dots(main, by_limb, axes[1], "R²", chance=(0, "mean"))

# %% tags=["hide-output"]
tables.show(summaries.summary(main, of_movement))

# %% [markdown]
# In the simulated world cells were tuned to both feet, more of them to contralateral steps. So that both can be decoded
# says nothing about mice, and neither does which of them is decoded better.
#
# ## Claim 2: better than baselines
#
# The same frames, the same number of epochs, the same penalty grid or epoch choice. The grey ticks are one draw of the
# null; where training and split are sound, they scatter around chance. Is the hybrid above the linear decoder that sees
# the same window? First the stored training:

# %%
stored_null = studies.from_stored(chapter.stored("null"))
fig, (ax,) = style.panels(1, width=12, height=3.8)
ax = figures.dots(stored, {"all": "balanced_accuracy"}, ax, "balanced accuracy",
                  chance=(1 / 3, "chance"), nulls=stored_null)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=12, height=3.8)
ax = figures.dots(decoded, {"all": "balanced_accuracy"}, ax, "balanced accuracy",
                  chance=(1 / 3, "chance"), nulls=null)

# %% [markdown]
# How far the hybrid is ahead of each other decoder, in balanced accuracy, paired by animal, test block and seed. The
# interval is over animals (Student's t); spread over blocks and over seeds is also given. Ablations leave out one
# part. *Better* has a sign, so the sign-flip test is one-sided; where so few animals cannot give a small p, none is
# printed, rather than count frames or folds as if they were animals. Networks whose training has not converged, or
# whose seeds differ by more than the two decoders do, are not compared and say so. A small network is no judge of the
# published one.

# %%
tables.show(summaries.advantages(stored))

# %% [markdown]
# The same for the training of this page, trained for seconds:

# %% tags=["hide-output"]
tables.show(summaries.advantages(decoded))

# %% [markdown]
# And within one animal's test block, how sure is the number? Blocks of one second, about a step of either foot, are
# drawn with replacement; the table says how many there are. What lasts longer than a second is not in the interval.

# %% tags=["hide-output"]
first_blocks = main.query("model == 'hybrid' and block == 0 and seed == 0")["fold"]
doubt = convergence.marked(convergence.not_converged(first_blocks))
tables.show(summaries.frame_intervals(first_blocks, rate_hz), said=doubt)

# %% [markdown]
# ## Claim 3: robust to noise and to many cells
#
# On simulated data the same sessions are made again with other noise, everything else the same to the last event; on
# recorded data white noise is added to each cell. Beside it the number of cells, drawn at random; where more are asked
# for than were recorded, the rest are copies moved in time, which know nothing. Right, the share of the training
# frames. What counts as robust is not said in the summary. Here it is: falling less than the other decoders, from the
# same conditions to the same conditions, over four values or more and all animals. Fewer are no curve, and nothing is
# claimed from them. First the stored training:

# %%
shown = {"snr": "signal-to-noise ratio", "cells": "cells",
         "share": "share of training frames"}
stored_sweeps = {words: studies.from_stored(chapter.stored(label))
                 for label, words in shown.items()}
fig, axes = style.panels(3, width=14, height=3.8)
for ax, (label, found) in zip(axes, stored_sweeps.items(), strict=True):
    figures.curve(found, label, ax, nulls=stored_null)

# %%
tables.show(summaries.sweep_table(stored_sweeps))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
asked = sweep_models.split(","), sweep_animals, sweep_seeds
if known is None:
    kind, varied = "noise", "added noise (SD of a cell)"
    changed = {float(v): studies.with_noise(study.dataset, float(v), seed)
               for v in noises.split(",")}
else:
    kind, varied = "snr", "signal-to-noise ratio"
    changed = {float(v): study.at_snr(known, float(v), sweep_animals)
               for v in snrs.split(",")}
by_noise = study.sweep({v: (data, 1) for v, data in changed.items()}, *asked)
by_cells = study.sweep({
    float(n): (studies.with_cells(study.all_cells, int(n), seed), 1)
    for n in cell_counts.split(",")}, *asked)
by_share = study.sweep({
    float(share): (study.dataset, float(share))
    for share in training_shares.split(",")}, *asked)

# %% tags=["hide-output"]
fig, axes = style.panels(3, width=14, height=3.8)
sweeps = {varied: by_noise, "cells": by_cells, "share of training frames": by_share}
for ax, (label, found) in zip(axes, sweeps.items(), strict=True):
    figures.curve(found, label, ax, nulls=null)

# %% tags=["hide-output"]
tables.show(summaries.sweep_table(sweeps))

# %% [markdown]
# ## Claim 4: across animals
#
# No cell of one mouse is a cell of another, so no decoder of cells can be carried over as it is. Each animal in turn
# is new; a trunk is trained on the others together, each seen through a linear read-in of its own. The new animal
# gets k labelled minutes. *Linear alignment* maps its cells onto the mean activity that the trained animals have at
# the same moment of a step, by ridge regression; the trunk stays as it is. *Read-in alone* trains that map further,
# *all layers* the trunk too. *Within animal* is the same network trained on these minutes alone, and *logistic, window*
# the linear decoder, likewise. If the trunk brings something along, its curves lie above both of these at few minutes;
# *all* are all training frames of the new animal. First the stored training:

# %%
stored_across = studies.from_stored(chapter.stored("minutes"))
words = "labelled minutes of the new animal"
fig, axes = style.panels(2, width=13, height=4)
for ax, metric in zip(axes, ("balanced_accuracy", "r2"), strict=True):
    figures.curve(stored_across, words, ax, metric, zero="all")

# %%
tables.show(summaries.sweep_table({"labelled minutes": stored_across}, zero="all"))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
limits = [float(k) for k in minutes.split(",")]
across = study.across(limits, width=read_in_width, seeds=sweep_seeds) if len(
    study.animals) > 1 else pd.DataFrame()

# %% tags=["hide-output"]
fig, axes = style.panels(2, width=13, height=4)
for ax, metric in zip(axes, ("balanced_accuracy", "r2"), strict=True):
    figures.curve(across, words, ax, metric, zero="all")

# %% tags=["hide-output"]
tables.show(summaries.sweep_table({"labelled minutes": across}, zero="all"))

# %% [markdown]
# Animals of one simulated world are built by one rule, which makes carrying over as easy as it can be.
#
# ## Where the information sits
#
# The summary speaks of a code for both limbs that is spread over cells. First, tuning: how much of a cell's variance
# do steps of one foot explain beyond those of the other? Colours are the ground truth, where that is known. What
# follows takes the hybrid networks of this page; what a network that has learnt little needs says little.

# %%
informed = study.information()
example = informed[0]
contra, ipsi = np.sqrt(np.maximum(example.tuning[:, :2], 0)).T
kinds = np.full(len(contra), "cell") if truth is None else (
    summaries.truth_of(study, truth, example.animal)["tuning"].to_numpy())

fig, axes = style.panels(2, width=12, height=4)
for tuned_to, colour in figures.TUNINGS.items():
    if (which := kinds == tuned_to).any():
        axes[0].plot(contra[which], ipsi[which], "o", ms=4, alpha=0.7,
                     color=colour, label=f"{tuned_to} ({which.sum()})")
axes[0].set(xlabel="root of variance explained\nby contralateral steps alone",
            ylabel="root of variance explained\nby ipsilateral steps alone",
            title=example.animal)
style.legend_beside(axes[0])
style.simulated_mark(axes[0], example)
ax = style.warned(figures.deletion_curves(informed, axes[1]), doubt)

# %% [markdown]
# Right: the trained hybrid with more and more cells set to their mean, those first that are tuned best (to one foot,
# to either), that move the network most (gradient times input), or any. A code spread over many cells falls slowly
# when the order is random, a code in few cells falls at once when these go first. Below, each foot by itself: losing
# the cells of one foot should cost that foot.

# %%
orders = ("contralateral tuning", "ipsilateral tuning", "random")
fig, axes = style.panels(2, width=13, height=3.8)
for ax, foot in zip(axes, ("contralateral", "ipsilateral"), strict=True):
    figures.deletion_curves(informed, ax, f"auc_{foot}", orders)
    style.warned(ax, doubt)

# %% [markdown]
# Are the right cells found? *Precision* is the share of truly tuned cells among as many first ones as there are; *by
# chance* is what any ranking gets. The rank correlation is with the simulated gain.

# %%
recovered = summaries.recovery(informed, study, truth)
tables.show(recovered.rename(columns={"model": "cells of which foot"}), decimals=2)

# %% [markdown]
# ## What the attention looks at
#
# Attention of the last frame of a window on each frame, mean over heads, and each head of one network. Weights show
# where a layer mixes from, behind a BiLSTM that has mixed the frames before. They are no measure of importance;
# deletion is.

# %%
weights = np.stack([one.attention for one in informed])  # by animal, class, head
time_s = (np.arange(weights.shape[-1]) - weights.shape[-1] + 1) / rate_hz
fig, axes = style.panels(2, width=12, height=3.6)
colours = style.NULL_COLOUR, *figures.FEET.values()
for i, (name, colour) in enumerate(zip(classes, colours, strict=True)):
    of_class = weights[:, i].mean(axis=1)
    axes[0].plot(time_s, of_class.T, color=colour, lw=0.6, alpha=0.6)
    mean = of_class.mean(axis=0)
    axes[0].plot(time_s, mean, color=colour, lw=2.2, label=name)
axes[0].axhline(1 / len(time_s), color=colours[0], ls=":", lw=1, label="even")
axes[0].set(xlabel="time before the decoded frame (s)",
            ylabel="attention (mean of heads)", ylim=(0, None))
style.legend_beside(axes[0])
style.simulated_mark(style.warned(axes[0], doubt), informed)
heads = np.arange(weights.shape[2]) + 1
mesh = axes[1].pcolormesh(time_s, heads, weights[0].mean(0), cmap="viridis", vmin=0)
plt.colorbar(mesh, ax=axes[1], label="attention")
axes[1].set(xlabel="time before the decoded frame (s)", ylabel="head", yticks=heads,
            title=example.animal)
ax = style.simulated_mark(style.warned(axes[1], doubt), example)

# %% [markdown]
# Scores that do not exist, if any: a test block without a step of some foot has no AUC of it. They are named, not
# counted.

# %%
missing = [{"animal": fold.animal, "model": fold.model, "note": note}
           for fold in decoded["fold"]
           for note in fold.notes or [fold.reason] if note]
tables.show(pd.DataFrame(
    missing or [{"note": "every score exists in every test block"}]))

# %% [markdown]
# ## What this does not show
#
# - **Not what the study found.** Its recordings are not public. A simulated world shows what a method can do in
#   principle, and whether the analysis is honest; it neither supports nor contradicts a published number.
# - **Not the published training**, unless run with profile *paper*: the demo trains a smaller network, for fewer
#   epochs, at a higher rate.
# - **Not causes.** Activity that follows a step decodes as well as activity that commands it, and the two feet take
#   turns, so that one predicts the other.
# - **Not new sessions.** Training and test frames come from one session of an animal; chapter 41 asks about others.
#
# Your own recordings: put them into the study's form (a `.mat` of traces and a step table), or one `.csv` with the
# label last, name them in `data_manifest.yaml` with `format: footsteps`, and run this chapter with `--dataset`.

# %% [markdown]
# ## Result card

# %%
balanced, both = ("balanced_accuracy",), ("balanced_accuracy", "r2")
hybrid = main[main["model"] == "hybrid"]
of_feet = [m for name in classes[1:] for m in (f"{name}_auc", f"r2_{name}")]
precise = "precision", "precision_by_chance"
cells_found = [
    score for name, found in recovered.groupby("model", sort=False)
    for score in summaries.card_scores(
        found, precise if name == "either by tuning" else precise[:1],
        details=("rank_correlation",))]
compared = {"decoders": decoded, "null": null, kind: by_noise, "cells": by_cells,
            "share": by_share, "minutes": across}

# %%
card = chapter.card(study, null=null_statement, scores=[
    *summaries.card_scores(decoded, both, details=("accuracy", "macro_f1", "auc")),
    *summaries.card_scores(hybrid, of_feet),
    *summaries.card_scores(null, balanced, " null"),
    *summaries.trained(decoded), *summaries.trained(null, " null"),
    *summaries.sweep_scores(by_noise, kind),
    *summaries.sweep_scores(by_cells, "cells"),
    *summaries.sweep_scores(by_share, "share"),
    *summaries.sweep_scores(across, "minutes", zero="all"),
    *cells_found], comparisons={name: studies.compared(found)
                                for name, found in compared.items() if len(found)})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
