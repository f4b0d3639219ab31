# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # If we had made the brain ourselves, would the analysis find the ground truth?
#
# **You will learn** what the simulated recordings of this book are made of, piece by piece; which of their figures were
# set to the published ones; and which worlds there are to put an analysis to the test.
#
# **Data** simulated, in the file formats of the study; the truth is known and lies beside the files.
#
# **Cost** smoke: half a minute; demo: a minute; paper: a few minutes, in which 64 sessions are simulated.
#
# **Reproduces** nothing: it is calibrated on figures of Ajioka et al. 2024. **Adds** a world with known truth, seen
# both as a movie and as traces, and worlds in which a decoder must fail or succeeds for the wrong reason.

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.data import published
from calcium_decoding.evaluation import cards
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting import brain, style
from calcium_decoding.simulation import widefield
from decoding_book.chapter import start
from decoding_book.chapters import data_tour, simulated_truth, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
jobs = 0  # folds at a time; 0: one a processor
animal = 2  # whose session is taken apart, counted from 1

# %%
chapter = start("04_simulated_truth", globals())

# %% [markdown]
# ## One session, piece by piece
#
# A simulated mouse runs in bouts. Running drives each area with kernels of its own: activity that lasts as long as the
# run, transients at onset and offset, a part that follows speed, and a fluctuation locked to the strides, each with a
# lead or a lag. The areas also act by themselves (arousal shared by all, regional events, fidgets of the limbs), and
# all of it is seen through an indicator that rises in 50 ms and decays in 350 ms. Blood takes light away a second
# or two after a run begins, movement shifts the image, the baseline bleaches and wanders, and there is noise.
#
# One ROI of the limb areas, each piece by itself. Only the first was put there for a decoder to find.

# %%
session = simulated_truth.session_of(dataset, animal, 0)
start_s = data_tour.interesting_start_s(session.recording(), 30)
rate_hz, roi = widefield.RATE_HZ, 8
frames = slice(round(start_s * rate_hz), round((start_s + 30) * rate_hz))
time_s = np.arange(frames.start, frames.stop) / rate_hz
parts = {name: part[frames, roi - 1] for name, part in session.components().items()}
parts["sum"] = sum(parts.values())

# %%
says = {
    "driven": "neurons, by running", "spontaneous": "neurons, by themselves",
    "blood": "blood absorption", "motion": "movement", "drift": "bleaching, wander",
    "noise": "noise", "sum": "what is seen"}
fig, axes = style.stack(7, heights=[1] * 6 + [2], height=0.8)
for ax, (name, part) in zip(axes, parts.items(), strict=True):
    style.running_spans(ax, time_s, session.run[frames])
    colour = style.RUN if name == "driven" else style.SIGNAL
    ax.plot(time_s, part, color=colour, lw=0.8)
    ax.set_ylabel(says[name], rotation=0, ha="right", va="center", fontsize=9)
    ax = style.time_axis(ax, time_s)
axes[0].set_title(f"ROI {roi}, each in % dF/F")
ax = style.simulated_mark(axes[0], True)

# %% [markdown]
# ## The same session under a camera
#
# The brain of this animal: resting fluorescence with light that falls off and vessels that absorb; 50 areas with soft
# borders, homologues mirrored about the midline; and the truth that a map should find, the size of what running drives
# in each pixel through neurons. Each animal lies a little differently. Outline and places of the areas are ours: the
# study's are not public.

# %%
place = session.anatomy
groups = published.roi_table()["group"].to_numpy()
names = [*published.GROUPS, "other"]
colours = np.array(sns.color_palette("colorblind", len(names)))
weights = np.array([place.parcels[groups == n].sum(axis=0) for n in names])
white = 1 - weights.sum(axis=0)
coloured = np.tensordot(weights, colours, (0, 0)) + white[:, :, None]
rows, columns = np.indices(white.shape)

# %%
fig, axes = style.panels(3, width=13, height=3.6)
ax = style.simulated_mark(axes[1], True)
ax.imshow(np.clip(coloured, 0, 1))
borders = {"levels": np.arange(50) + 0.5, "colors": "white", "linewidths": 0.4}
ax.contour(place.parcels.argmax(axis=0), **borders)
for number, parcel in enumerate(place.parcels[:25], start=1):  # of the left side
    middle = (np.average(axis, weights=parcel) for axis in (columns, rows))
    ax.text(*middle, number, ha="center", va="center", fontsize=7)
for name, colour in zip(names, colours, strict=True):
    ax.plot([], [], "s", color=colour, label=name.replace("_", "&"))
ax.set(title="50 areas", xticks=[], yticks=[])
ax.spines[:].set_visible(False)
style.legend_beside(ax)
title, label = "resting fluorescence", "camera counts"
brain.show_image(place.resting, chapter.dataset, axes[0], label, title)
driven = session.maps()["driven"]
title, label = "driven by running", "SD (% dF/F)"
ax = brain.show_image(driven, chapter.dataset, axes[2], label, title, "magma")

# %% [markdown]
# The mean image around the onsets of running, as change from the rest before. First the brain jerks: outline and
# vessels show as pairs of bright and dark lines. Then areas brighten, each with its own lag, and after a second blood
# takes some of the light away, most of it at the vessels.

# %%
movie = session.movie()
times_s = (-1.0, 0.0, 0.3, 0.7, 1.5, 2.5)
changes, n_onsets = simulated_truth.onset_average(session, movie, times_s)
top = np.percentile(np.abs(changes[:, place.brain > 0.999]), 97)
fig, axes = style.panels(len(times_s), width=12, height=2.6)
for ax, time, change in zip(axes, times_s, changes, strict=True):
    inside = np.where(place.brain > 0.5, change, np.nan)
    shown = ax.imshow(inside, cmap="RdBu_r", vmin=-top, vmax=top)
    ax.set(title=f"{time:+.1f} s", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
fig.colorbar(shown, ax=list(axes), label="change (%)", shrink=0.8, pad=0.01)
ax = style.simulated_mark(ax, True)
print(f"mean of {n_onsets} onset(s) of one session")

# %% [markdown]
# ## One world, two views
#
# The ROI traces that the chapters decode are computed from the same activity without a camera. Taken from the movie
# instead, as a user would take them, they agree but for photon noise and a few per cent of size.

# %%
views, traces = simulated_truth.two_views(session, movie)
rois = np.array([20, 16, 8, 3])
direct, filmed = (view[frames, rois - 1] - view[:, rois - 1].mean(axis=0)
                  for view in (session.signal(), traces))
heights = np.arange(len(rois)) * 1.1 * np.ptp(direct, axis=0).max()
fig, (ax,) = style.panels(1, height=3.6)
for label, view, colour, width in (("ROI view", direct, style.SIGNAL, 1.6),
                                   ("from the movie", filmed, "#E69F00", 0.8)):
    lines = ax.plot(time_s, view + heights, color=colour, lw=width)
    lines[0].set_label(label)
ax.set_yticks(heights, rois)
style.time_axis(ax, time_s).set_ylabel("ROI (dF/F)")
ax.legend(fontsize=8, loc="upper right", ncols=2)
ax = style.simulated_mark(ax, True)

# %%
agreement = views[["r", "slope"]].agg(["min", "median", "max"]).T
agreement.columns = ["least", "median", "largest"]
tables.show(agreement.rename_axis("over 50 ROIs").reset_index())

# %% [markdown]
# ## Worlds
#
# `paper_like` is the default of the book. The others each hold one thing, so that an analysis can be asked whether it
# is fooled by it: `calcium-decoding data simulate --world NAME --out FOLDER` writes any of them, movies included.

# %%
worlds = [(name, world.says) for name, world in widefield.WORLDS.items()]
tables.show(pd.DataFrame(worlds, columns=["world", "what holds in it"]))

# %% [markdown]
# Two cheap decoders in a small data set of each world, trained on three animals and tested on another: logistic
# regression on one frame, and one that knows nothing but the time since the session began. Without a link both should
# be at chance, within what five folds of a small data set scatter; where brain and behaviour drift together time in
# session alone does well. In two worlds no neuron follows running: what can be decoded there is movement or blood.
# **A score never says what it was made of**.

# %%
scores = simulated_truth.world_scores(seed, store=chapter.store, jobs=jobs or None)

# %%
fig, (ax,) = style.panels(1, width=8, height=5)
shown = scores.assign(decoder=scores["model"].map(LABELS))
colours = {LABELS[model]: COLOURS[model] for model in scores["model"].unique()}
how = {"x": "auc", "y": "world", "hue": "decoder", "palette": colours, "ax": ax}
sns.stripplot(shown, **how, dodge=True, jitter=False, alpha=0.6)
sns.pointplot(shown, **how, dodge=0.4, errorbar=None, linestyle="none",
              marker="|", markersize=14, legend=False)
ax.axvline(0.5, color=style.NULL_COLOUR, ls=":", lw=1)
ax.set(xlabel="AUC across animals (a dot is a fold, a bar the mean)", ylabel="",
       xlim=(0.2, 1.0))
ax.legend(fontsize=8, loc="lower left")
ax = style.simulated_mark(ax, True)

# %% [markdown]
# ## Calibration
#
# Gains and noise, and how much animals and days differ, were set until some figures of decoders came near the published
# ones: on data of the study's kind. Where the table says *not converged*, the figure is of a training that was not at
# its end, and that row decides nothing. What went in is no evidence: that a GRU beats a logistic decoder here, by about
# as much as in the study, was *made* so. The logistic decoder is held down by arousal, one time course that acts on all
# areas in the pattern of running; the GRU is lifted by the rhythm of the strides, which has no mean to offer, and held
# below 1 by fidgets with the same rhythm and by animals whose strides are weak.
#
# A row is **met** where the simulated mean lies within one published SD over folds of the published mean. Rows marked
# as *set* were looked at in calibration. The others were not, but are no independent evidence: they come from the same
# gains, and "all 50" and "1000 frames" are the GRU again. So the order of the groups was put in.

# %%
calibration = simulated_truth.calibration()
tables.show(calibration)

# %% [markdown]
# Behaviour and correlations, of the data of this page. Shares of running are those of the study's sessions. Each ROI
# was *given* sustained activity in proportion to its published correlation with running, so the pattern agrees by
# construction.

# %%
r = data_tour.correlations(chapter.dataset).groupby(["animal", "roi"])["r"].mean()
correlations = r.groupby("roi").mean()
real = published.roi_table()["mean_run_correlation"]
measured, rows = [], []
for number, name in enumerate(chapter.dataset.animals, start=1):
    share = [recording.run.mean() for recording in chapter.dataset.of_animal(name)]
    measured += cards.summarise(f"mouse {number}", share, "run_share", "sessions")
    rows.append((f"running frames, mouse {number}", published.run_share(number),
                 np.mean(share)))
measured += cards.summarise("ROI", correlations, "pearson_r", "ROIs")
rows += [("correlation, mean of ROIs", real.mean(), correlations.mean()),
         ("the same, SD over ROIs", real.std(), correlations.std())]
columns = ["quantity", "published, real mice", "simulated, this page"]
tables.show(pd.DataFrame(rows, columns=columns))

# %%
fig, (ax,) = style.panels(1, width=4.2, height=4)
ax.plot(real, correlations, "o", alpha=0.7, ms=5)
ax.axline((0, 0), slope=1, color=style.NULL_COLOUR, ls=":", lw=1)
ax.set(xlabel="published r, real mice", ylabel="simulated r", aspect="equal")
ax = style.simulated_mark(ax, chapter.dataset)

# %% [markdown]
# ## What this does not show
#
# - **Nothing about brains.** A score on these data says what a method can find, never what cortex holds.
# - **No layers, no cells, no travelling waves.** An area is one number a frame; there is no spread of activity within
#   it, no scattering beyond soft borders, no neuropil.
# - **Blood and movement are simple.** Absorption is one response with one delay; the brain moves as a rigid sheet in
#   the plane of the image.
# - **The mice differ in few ways.** Gains, arousal, which limb areas lead, placement and share of running differ; what
#   drives what does not. How much they differ was set so that decoders scatter over animals as in the study.
# - **Stationary physiology.** Days differ in gain alone: no learning, no sleep.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again.

# %%
by_world = cards.table_scores(scores, "auc", "{model} in {world}", unit="folds")
null = "the world no_link, decoded like the others"
card = chapter.card(null=null, scores=[measured, by_world])
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
