# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What is in a recording, before anything is decoded?
#
# **You will learn** what a recording holds, how to look at it, and which of its features (share of running, slow
# drift, differences between animals) will later pass for decoding if nobody watches.
#
# **Data** any data set of the manifest; by default a simulated one with 5 animals and 50 regions of interest (ROIs).
#
# **Cost** smoke: seconds; demo: under half a minute; paper: a minute or two.
#
# **Reproduces** the share of running of each mouse (Fig 1C) and the correlation of each ROI with running (Fig S6) of
# Ajioka et al. 2024. **Adds** a check of the run label against speed, and the share of each ROI's variance that is
# slower than the baseline.

# %%
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.evaluation import cards
from calcium_decoding.plotting import interactive, style
from calcium_decoding.preprocessing import moving_mean
from decoding_book.chapter import start
from decoding_book.chapters import data_tour, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 1  # seed of everything random
example = 0  # which recording to show, counted from 0
show_s = 60.0  # length of the stretch shown, s

# %% [markdown]
# The next line checks the parameters and opens the data. It prints what was read, and names every session that was
# refused with the reason; nothing is dropped in silence.

# %%
chapter = start("01_data_tour", globals())
data = chapter.dataset

# %% [markdown]
# ## One recording
#
# A recording is a table: one row a frame, one column a ROI, and beside it what the animal did at the same frames. The
# shaded stretches are running. Ask of any trace: would I see the running without the shading?

# %%
recording = data_tour.recording_at(data, example)
start_s = data_tour.interesting_start_s(recording, show_s)
fig, axes = style.stack(2, heights=(3, 1.2))
title = axes[0].set_title(f"{recording.id}: {recording.signal_unit}")
rois = data_tour.spread_of_rois(recording)
preferred = ("speed_cm_s", "velocity", "wheel", *recording.behaviour)
behaviour = next(name for name in preferred if name in recording.behaviour)
style.traces(recording, rois, start_s, show_s, axes[0])
ax = style.behaviour_trace(recording, behaviour, start_s, show_s, axes[1])

# %% [markdown]
# ## What the reader noticed
#
# The study calls a frame running where the speed is above 0.5 cm/s, but its files hold the label as well. The reader
# compares the two and reports the share of frames on which they disagree; for recordings without a label it says how
# the label was made. Read these lines before using a data set.

# %%
noticed = [(note, each.id) for each in data.recordings for note in each.notes]
noticed = pd.DataFrame(noticed, columns=["note", "id"]).groupby("note", sort=False)
notes = noticed["id"].agg(**{"first in": "first", "recordings": "count"})
tables.show(notes.reset_index().head(12))

# %% [markdown]
# ## How much do the animals run?
#
# A decoder that always says "running" is right as often as the animal runs. Where animals differ this much, accuracy
# measures the animal as much as the decoder; the chapters therefore use the area under the ROC curve (AUC), which
# does not depend on the share of running, and balanced accuracy.

# %%
fig, (ax,) = style.panels(1, width=6)
ax = style.run_shares(data, ax)

# %%
of_recordings = pd.DataFrame({
    "animal": [each.animal for each in data.recordings],
    "share": [100 * each.run.mean() for each in data.recordings]})
by_animal = of_recordings.groupby("animal", sort=False)["share"]
shares = by_animal.agg(["count", "mean", "std"])
shares.columns = ["recordings", "run_share_percent", "sd_percent"]
if data.compare_with_study:
    numbers = range(1, len(shares) + 1)
    shares["published_percent"] = [100 * published.run_share(i) for i in numbers]
tables.show(shares.reset_index(), decimals=1)

# %% [markdown]
# Where the data are the study's own, the published shares stand in the last column. On other data the comparison
# would mean nothing and the column is absent. The simulated animals were *given* the published shares, so agreement
# there is no evidence of anything.
#
# ## Which ROIs go with running?
#
# The correlation of each ROI with the run label, each dot an animal (mean over its recordings), the line their mean.
# The study's baseline, a moving mean of 1,000 frames, was subtracted first. A correlation says nothing on its own: two
# slow signals correlate by chance, which is why the chapters on decoding need nulls. Where animals or days differ in
# their ROIs, each ROI of each day is a dot by itself.

# %%
table = data_tour.correlations(data)
n_rois = {each.n_roi for each in data.recordings}
if len(n_rois) == 1:
    correlations = table.pivot_table("r", "animal", "roi", sort=False)
    correlations = correlations.reindex(columns=range(1, max(n_rois) + 1))
else:
    columns = ["animal", "session", "roi"]
    correlations = table.pivot_table("r", columns=columns, sort=False)
fig, (ax,) = style.panels(1, width=9, height=3.4)
groups = list(published.roi_table()["group"]) if n_rois == {50} else None
ax = style.correlation_with_running(data, correlations.values, ax, groups)

# %% [markdown]
# The same as a map, the mean over animals. Hover over a ROI, or touch it: its number, its group and its correlation
# appear. Where the ROIs lie is known for simulated data only; ROIs of others stand in rows by number.

# %%
interactive.roi_map(data, correlations.mean(), "correlation with running (r)")

# %% [markdown]
# ## How much of a trace is slow drift?
#
# The share of each ROI's variance that is slower than the moving baseline, mean over the recordings of an animal.
# Where it is large, a decoder can learn *when in the session* it is instead of *what the animal does*, if behaviour
# drifts too. A ROI that is silent in a recording has no variance to share there.

# %%
rows = []
for each in data.recordings:
    variance = pd.Series(each.signal.var(axis=0, dtype=float))
    baseline = pd.Series(moving_mean(each.signal, 1000).var(axis=0))
    share = 100 * baseline / variance.where(variance > 0)
    rows.append(pd.DataFrame({"animal": each.animal, "n_roi": each.n_roi,
                              "roi": share.index + 1, "slow": share}))
of_rois = pd.concat(rows).groupby(["animal", "n_roi", "roi"], sort=False)
slow = of_rois["slow"].mean().dropna()
fig, (ax,) = style.panels(1, width=6)
label = "variance slower than the baseline (%)"
ax = style.histogram(slow, label, ax, data)

# %% [markdown]
# ## Real recordings in the same numbers
#
# The means of this chapter's card for two public recordings, stored with the book (the recordings are not shipped): how
# much of the time the animals run, how the signals go with it, and how much of them is slow.

# %%
tables.show(tables.real_recordings(chapter.name))

# %% [markdown]
# ## What this does not show
#
# Nothing was decoded here, and nothing was tested. A high correlation can come from movement artefacts, from blood
# volume, or from drift that brain and behaviour share. The share of running says how unbalanced the classes are, not
# how hard they are to tell apart.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
run_share = shares["run_share_percent"] / 100
scores = [
    *cards.summarise("label", run_share, "run_share", "animals"),
    *cards.summarise("ROI", correlations.mean(), "pearson_r", "ROIs"),
    *cards.summarise("ROI", slow / 100, "slow_share", "ROIs"),
]
card = chapter.card(scores=scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
