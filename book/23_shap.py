# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which ROIs and which moments does the network use?
#
# **You will learn** how a recurrent decoder's output is divided among the ROIs and frames of its window so that nothing
# is left over; how such a map is compared with what a network finds where there is nothing to find; and why a map of
# what a decoder *uses* is not a map of what the brain *does*.
#
# **Data** any data set with ROI traces and a run label, or another behaviour of 0 and 1, which `-p target NAME` decodes
# (the text says *running* for it); by default simulated: 5 animals, 50 ROIs.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: a minute on 2 cores; paper, every
# test window of 20 folds against 10,000 others: days of a CPU.
#
# **Reproduces** Figs 6A, 6B and 6C of Ajioka et al. 2024: absolute SHAP values of a GRU by ROI and frame, summed by ROI
# against null models, on the cortex. **Adds** a rule for the gates of the network, so that values add up to its output,
# asserted in every fold; a warning on maps of decoders that decode nothing; ground truth beside the map.

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.data import published
from calcium_decoding.explain import attribution, shap_maps
from calcium_decoding.plotting import brain, interactive, style
from decoding_book.chapter import start
from decoding_book.chapters import shap, tables

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
explained = 500  # test windows to explain in each fold, spread evenly; 0: all
background = 100  # test windows they are compared with, drawn by the seed
folds = 3  # folds, spread evenly; 0: all
seeds = 1  # trainings of each fold, with seeds from this one on
null_folds = 3  # folds the null is refitted on, spread evenly; 0: all
train_every = 4  # train and validate on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("23_shap", globals())
experiment = chapter.plan(n_folds=folds)
ms = np.arange(-past_frames, future_frames + 1) * 1000 / chapter.rate_hz

# %% [markdown]
# ## How the output is divided
#
# A window of 31 frames and 50 ROIs goes in, one probability of running comes out. Compare it with another window, of
# the *background*: the outputs differ, and the difference is divided among the 1,550 inputs by how much each of them
# differs and what the network makes of that. **Deep SHAP** does it layer by layer and averages over the background. The
# parts sum to the output exactly, less the mean output over the background (the *base*). That is the **sum rule**.
#
# Two rules do the work. Through a curve of one number, such as a logistic gate, the difference is passed on at the
# slope of the straight line through both points. Where two numbers multiply, as gate and state do, each gets the change
# it makes at the other's mean: *ab* − *a′b′* = (*a* − *a′*)(*b* + *b′*)/2 + (*b* − *b′*)(*a* + *a′*)/2. Common programs
# lack the second rule for PyTorch's recurrent layers, and their values miss the output by a large part of its range.
# Here a run stops if the sum is off by more than a hundred-thousandth.
#
# As in the study, the background is drawn from test windows, and absolute values are averaged over the explained test
# windows of each fold. The study explains all windows against 10,000; the demo some hundreds against one hundred.
#
# First the stored training: sums over ROIs by frame, and sums over the window of the twenty largest ROIs; means and SD
# over folds and seeds, beside networks that were trained on the behaviour of other sessions.

# %%
stored, stored_said = chapter.stored_table("maps")
fig, axes = style.panels(2, width=13, height=4, width_ratios=[2, 3])
for ax, axis in zip(axes, ("ms", "roi"), strict=True):
    here = stored[stored["axis"] == axis] if len(stored) else stored
    if here.empty:
        style.nothing(ax, "no map is stored")
        continue
    look = {"x": "at", "y": "value", "hue": "decoder", "errorbar": "sd", "ax": ax,
            "palette": {"trained": style.DECODED, "null": style.NULL_COLOUR}}
    if axis == "ms":
        sns.lineplot(here, **look)
    else:
        of = here[here["decoder"] == "trained"].groupby("at")["value"].mean()
        sns.barplot(here, order=of.nlargest(20).index, formatter="{:.0f}".format,
                    **look)
    ax.set(xlabel={"ms": "frame, ms from the labelled one", "roi": "ROI"}[axis],
           ylabel="mean |SHAP|, summed", ylim=(0, None))
    style.simulated_mark(style.warned(ax, stored_said), here)

# %% [markdown]
# Now the training of this page, on the data and with the effort that its parameters say. All that follows is made from
# it.

# %%
how = {"n_windows": explained, "n_background": background, "output": output,
       "store": chapter.store, "jobs": jobs or None}
maps = [m for more in range(seeds)
        for m in shap_maps.run(experiment.with_(seed=seed + more), model, **how)]
nulls, null_statement = shap_maps.run_null(
    chapter.plan, chapter.dataset, seed, model, n_folds=null_folds, **how)
print("null    ", null_statement)

# %%
values = np.array([m.mean_abs for m in maps if not m.reason])  # (fold, frame, ROI)
null_values = np.array([m.mean_abs for m in nulls if not m.reason])
said = shap_maps.warning(maps)
tables.show(pd.DataFrame([
    {"fold": m.fold, "no map because": m.reason} if m.reason else
    {"fold": m.fold, "AUC": m.auc, "base": m.base,
     "sum rule missed by": f"{m.error:.1e} of the range",
     "largest ROI": m.by_roi.argmax() + 1} for m in maps]))

# %% [markdown]
# *Largest ROI* is the one with the largest sum over the window. If it changes from fold to fold, so would any
# story told about it.
#
# ## ROI by frame
#
# Left: the trained network. Right: the same network trained on sessions whose behaviour was swapped with that of other
# sessions of the same animal. It has learned *something*, and its map is not empty: a map by itself shows no effect. So
# a network that decodes no better than chance, or whose training has not converged, gets a red warning.

# %%
fig, axes = style.panels(2, width=13, height=6)
half, last = 500 / chapter.rate_hz, values.shape[2] + 0.5
for ax, some in zip(axes, (maps, nulls), strict=True):
    mean = shap_maps.mean_map(some)
    if mean is None:
        style.nothing(ax, shap_maps.warning(some))
        continue
    shown = ax.imshow(mean.T, aspect="auto", cmap="magma", vmin=0,
                      extent=(ms[0] - half, ms[-1] + half, last, 0.5))
    fig.colorbar(shown, ax=ax, label="mean |SHAP|, in units of the output")
    ax.axvline(0, color="white", ls=":", lw=1)
    ax.set(xlabel="frame, ms from the labelled one", ylabel="ROI")
    style.simulated_mark(style.warned(ax, shap_maps.warning(some)), some)

# %% [markdown]
# The scales differ. Recurrent networks are read at their last frame and may forget early ones, so late frames may have
# an advantage that has nothing to do with the brain; chapter 24 measures it. A peak after the labelled frame may be
# activity that follows behaviour, a slow indicator, or this bias.

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=8, height=3.6)
by_frame = values.sum(axis=2)
ax.plot(ms, by_frame.T, color=style.DECODED, lw=0.6, alpha=0.5)
ax.plot(ms, by_frame.mean(axis=0), color=style.DECODED, lw=2, label="mean of folds")
if len(null_values):
    ax.plot(ms, null_values.sum(axis=2).mean(axis=0), "--", lw=1.5,
            color=style.NULL_COLOUR, label="null, mean")
if chapter.dataset.compare_with_study and len(ms) == 31:
    theirs = published.table("shap_frame_by_fold").groupby("frame_offset")
    theirs = theirs["sum_over_rois_mean_abs_shap"].mean()
    ax.plot(ms, theirs, ":", color=style.SIGNAL, label="published, mean")
ax.axvline(0, color=style.NULL_COLOUR, ls=":", lw=1)
ax.set(xlabel="frame, ms from the labelled one", ylim=(0, None),
       ylabel="mean |SHAP|, sum over ROIs")
ax.legend(fontsize=8)
ax = style.simulated_mark(style.warned(ax, said), maps)

# %% [markdown]
# ## By ROI
#
# Values summed over the window, largest first. Bars are means over folds and every dot is a fold. The study tests each
# ROI against its null models by the rank-sum test over folds, corrected by Holm over 50 ROIs. So few folds as in the
# demo cannot give a p below 0.05, and then there is none, and no star; 20 folds allow them. Folds share animals and
# training data and are no independent samples. The study's values are shown only where the data are its own.

# %%
sums, null_sums = values.sum(axis=1), null_values
if len(null_values):
    null_sums = null_values.sum(axis=1)
by_roi = shap.roi_table(sums, null_sums, chapter.dataset)
largest_first = by_roi.sort_values("mean", ascending=False, kind="stable")

# %% tags=["hide-output"]
x, of_folds = np.arange(len(by_roi)), sums[:, largest_first.index].T
fig, (ax,) = style.panels(1, width=13, height=4)
ax.bar(x, largest_first["mean"], color=style.DECODED, alpha=0.35,
       label="mean of folds")
ax.plot(x, of_folds, ".", color=style.DECODED, ms=4, label="fold")
if "null" in by_roi:
    ax.plot(x, largest_first["null"], "_", color=style.NULL_COLOUR, ms=9, mew=2,
            label="null, mean")
if "stars" in by_roi:
    stars = largest_first["stars"].fillna("").str.replace("n.s.", "")
    for place, height, text in zip(x, of_folds.max(axis=1), stars, strict=True):
        ax.text(place, height, text, ha="center", color=style.RUN, fontsize=8)
if "published" in by_roi:
    ax.plot(x, largest_first["published"], "D", mfc="white", color=style.SIGNAL,
            ms=4, label="published, mean")
ax.set_xticks(x, largest_first["roi"], fontsize=7, rotation=90)
ax.set(xlabel="ROI", ylabel="mean |SHAP|, sum over the window", xlim=(-1, len(x)))
style.legend_beside(ax, loc="upper right", bbox_to_anchor=(1, 1))
ax = style.simulated_mark(style.warned(ax, said), maps)

# %% tags=["hide-output"]
tables.show(largest_first.head(12), said=said)

# %% [markdown]
# In the study ROI 8, the hindlimb area of the left hemisphere or its neighbour, leads, with 31, 33 and 6 behind, all in
# the limb areas; next comes ROI 9 with half of ROI 6. A network of these inputs could do otherwise at the same score:
# where two ROIs carry the same, training decides which of them is used, and the sum is divided as it happens.
#
# ## Where on the cortex, and does it agree with the ground truth?
#
# Left: the sums on the cortex of the first simulated animal; the outlines of the study's ROIs are not public. Right:
# the sums against the share of each ROI's variance that running drives, which in simulated data is known.

# %%
truth, statement = shap.ground_truth(chapter.dataset)
print(statement)
fig, axes = style.panels(2, width=12, height=4.6)
place, mean = brain.anatomy_of(chapter.dataset), sums.mean(axis=0)
if place is None:
    style.nothing(axes[0], "where these ROIs lie is not known")
else:
    image = np.tensordot(mean, place.parcels, axes=1)
    image[place.brain <= 0.5] = np.nan
    brain.show_image(image, maps, axes[0], "mean |SHAP|, sum over the window",
                     "where, in animal 1", "magma")
    brain.outlines(place, style.warned(axes[0], said), "white")
if truth.empty:
    style.nothing(axes[1], "no planted truth")
else:
    drive = truth["share_driven"].to_numpy()
    label = "share of variance driven by running, planted"
    shap.against_truth(mean, drive, label, axes[1])
    style.simulated_mark(style.warned(axes[1], said), maps)

# %%
agreement = pd.DataFrame()
if len(truth):
    found = attribution.precision_at(mean, drive, 8)
    agreement = pd.DataFrame([{
        "rank correlation with the planted share":
            attribution.rank_agreement(mean, drive),
        "of the 8 most driven, share among the 8 largest": found,
        "expected by chance": 8 / len(mean)}])
tables.show(agreement, said=said)

# %% [markdown]
# The left map again, to hover over or to touch: each ROI with its number, its group and its sum.

# %%
interactive.roi_map(chapter.dataset, by_roi["mean"], "sum of mean |SHAP|", said)

# %% [markdown]
# A ROI above the others at little simulated drive need not be a mistake of the method. The network may use it to cancel
# what running does *not* explain in the others, arousal above all: that is use, without any drive. The method says
# truly what the network does. Whether that tells about cortex is another question.

# %% [markdown]
# ## What this does not show
#
# - **Not what the brain does.** Values describe one trained network; another with the same score may use other ROIs.
# - **Not the direction.** Absolute values say how much, not whether more activity speaks for running or against it.
# - **Not cause.** Activity that follows movement, blood and motion are used by the network just as gladly.
# - **Not exact Shapley values.** The rules sum exactly, but divide interactions by a fixed recipe. On small networks
#   trained on noisy labels ROI sums agree closely with values from all coalitions, those of the logit better than those
#   of the probability, which saturates where a network is never in doubt. Chapter 24 shows the agreement for a trained
#   network of this size: close for maps of ROIs averaged over windows, less for single windows, and least for the
#   time course.
# - **Not realistic windows.** Comparing two windows input by input visits mixtures of both that no brain produces.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
scores = shap.card_scores(maps, nulls, past_frames)
card = chapter.card(experiment, null=null_statement, scores=scores,
                    tables={"maps": (shap.tidy(maps, nulls, ms), said)})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
