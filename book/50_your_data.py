# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own recordings: can behaviour be decoded from a suite2p folder and a behaviour file?
#
# **You will learn** how recordings and behaviour that were written by different computers get on one clock; how a label
# is made of a speed; which split your data allow; and what a first score on them means.
#
# **Data** your folder, named by `sessions_dir`, with `animal/session/` folders in it: in each a suite2p folder, a table
# with the behaviour, and the times of the frames. Without one the files are made here from **simulated** recordings,
# with faults in their clocks that real ones have.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: two minutes on 2 cores; paper: all folds
# of a longer training.
#
# **Reproduces** nothing: neither study says how its clocks were put together. **Adds** the way from files of a lab to a
# number with its audit, null and card. NWB files, CaImAn, Inscopix and other formats differ only in the cell that reads
# them; `calcium-decoding data inspect PATH` says what a file holds.

# %%
from dataclasses import replace
from pathlib import Path

import pandas as pd

import calcium_decoding as cd
from calcium_decoding.data import bouts, catalog
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import clock_figure, comparisons, style
from calcium_decoding.simulation import write_lab_files
from decoding_book.chapter import start
from decoding_book.chapters import tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
sessions_dir = ""  # your folder of animal/session/; empty: made here
rate_hz = 30.0  # frames per second of the imaging
neuropil = 0.7  # share of the neuropil that is taken off each ROI
start_above = 0.5  # running begins above this speed, cm/s
stop_below = 0.3  # and ends below this one, cm/s
shortest_s = 0.3  # shorter bouts are none, s
regime = "auto"  # split: auto, or a name in splits.REGIMES
recipe = "auto"  # preprocessing: auto, or a name in preprocessing.RECIPES
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
n_blocks = 5  # blocks of a recording in the blocked split
models = "gru,logistic_window"  # decoders, comma between
folds = 5  # folds of the comparison, spread evenly; 0: all
null_folds = 3  # folds the null is refitted on, spread evenly; 0: all
train_every = 2  # train and validate on one window in so many; 1: all
epochs = 14  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 64  # windows a step
learning_rate = 0.004  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("50_your_data", globals())
pool = {"store": chapter.store, "jobs": jobs or None}
made_here = chapter.store / chapter.name / chapter.dataset.content_hash()
folder = Path(sessions_dir) if sessions_dir else write_lab_files(
    chapter.dataset, made_here, seed)
places = sorted(path.parent for path in folder.glob("*/*/suite2p"))
print(len(places), "sessions; files of the first one:")
print("\n".join(str(path.relative_to(folder)) for path in
                sorted(places[0].rglob("*")) if path.is_file()))

# %% [markdown]
# ## Look
#
# A reader gives a `Recording`: the signal, frames by ROIs, with the names that the ROIs have in their file, and notes
# on what was done. Of a suite2p folder it takes the ROIs that were accepted as cells, and subtracts a share of the
# neuropil. The frame rate is the one of this plane.

# %%
traces = {}
for place in places:
    animal, session = place.parts[-2:]
    read = cd.read_suite2p(place / "suite2p", rate_hz=rate_hz, animal=animal,
                           session=session, neuropil=neuropil)
    made = chapter.dataset.simulated and not sessions_dir
    traces[place] = replace(read, simulated=made)
first = traces[places[0]]
print("\n".join(first.notes))
tables.show(pd.DataFrame([
    {"recording": r.id, "frames": r.n_frames, "ROIs": r.n_roi,
     "minutes": r.n_frames / r.rate_hz / 60} for r in traces.values()]))

# %% [markdown]
# The first session, and below it a real one where the data directory holds `suite2p_sample`. That has no behaviour, so
# nothing is decoded from it; the notes say how few of its ROIs are cells.

# %%
sample = catalog.data_dir(data_dir) / "suite2p_sample"
real = [cd.read_suite2p(sample, rate_hz=10.0, animal="real", session="sample")
        for _ in range(sample.is_dir())]
print("\n".join(real[0].notes) if real else "no real sample is at hand")
fig, axes = style.stack(1 + len(real), width=10, height=2.8)
for ax, one in zip(axes, [first, *real], strict=True):
    shown = one.signal[:round(60 * one.rate_hz)]
    shown = (shown - shown.mean(axis=0)) / shown.std(axis=0)
    image = ax.imshow(
        shown.T, aspect="auto", cmap="gray_r", vmin=-1, vmax=3,
        extent=(0, len(shown) / one.rate_hz, one.n_roi, 0))
    fig.colorbar(image, ax=ax, label="SD of the ROI")
    ax.set(ylabel="ROI", title=one.id)
    ax = style.simulated_mark(ax, one)
label = axes[-1].set_xlabel("time (s), by frame number")

# %% [markdown]
# ## One clock
#
# The microscope and the computer of the wheel have clocks of their own. Three things are written down here: when the
# microscope took each frame of the file, when the pulse of each frame reached the computer, and the speed with the time
# of each sample. The report says what does not fit; the figure shows where.

# %%
wheel = {place: cd.read_behaviour(place / "wheel.csv") for place in places}
frames, pulses = ({place: pd.read_csv(place / name)["time_s"].to_numpy()
                   for place in places} for name in ("frames.csv", "ttl.csv"))
seen = {"rate_hz": rate_hz, "ttl_s": pulses[places[0]],
        "behaviour": list(wheel[places[0]].values())}
report = cd.clock_report(
    frames[places[0]], n_file=first.n_frames,
    window=cd.WindowSpec(past_frames, future_frames), **seen)
tables.show(report[["item", "found", "expected", "unit", "verdict"]])

# %%
fig = clock_figure(frames[places[0]], simulated=first.simulated, **seen)

# %% [markdown]
# Frames that the file lacks are not invented: what is on both sides of a gap is never in one window. Times of the file
# say which pulse belongs to which frame, so the frames get the computer's times and any drift is gone.
#
# ## A label
#
# An animal runs from where its speed rises above one threshold until it falls below a lower one; bouts that are very
# short are none. To know that a bout is long enough one has to look ahead, and the label says how far (`reach`), so
# that the audit of the split counts these frames too.

# %%
recordings, by_number = [], []
for place, recording in traces.items():
    speed = wheel[place]["speed_cm_s"]
    run = bouts(speed, start_above, stop_below, shortest_s, name="run")
    times = cd.match_pulses(frames[place], pulses[place])
    timed = cd.with_times(recording, times)
    recordings.append(cd.with_behaviour(timed, wheel[place], run))
    by_number.append(cd.with_behaviour(
        recording, speed, run, offset_s=-times[0]))
tables.show(pd.DataFrame([
    {"recording": r.id, "frames": r.n_frames, "stretches": len(r.stretches),
     "usable frames (%)": 100 * sum(b - a for a, b in r.stretches) / r.n_frames,
     "running (%)": 100 * r.run.mean(), "reach of run": str(r.reach["run"])}
    for r in recordings]))

# %%
print("\n".join(recordings[-1].notes))

# %% [markdown]
# ## Which split do the data allow?
#
# The wider the claim, the more animals or sessions it needs. A data set made of a list of recordings takes the widest
# split that they allow: across animals with three or more, across sessions with three sessions of an animal, and else
# within a session, where it is easiest to fool oneself (chapter [](02_splits_and_leakage)).

# %%
mine = replace(chapter, dataset=cd.Dataset(recordings))
experiment = mine.plan(n_folds=folds, target="run")

# %% [markdown]
# ## Decode
#
# A decoder that has not converged, or does no better than the null, says nothing about the brain. In the null each
# signal gets the behaviour of another session of the same animal.

# %%
found = compare.compare(
    {"on one clock": experiment}, models.split(","), label="decoders", **pool)
null, statement = compare.run_null(
    mine.plan, mine.dataset, models.split(",")[0], seed,
    n_folds=null_folds, target="run", **pool)
print(statement)
tables.show(compare.table(found))

# %%
fig, (ax,) = style.panels(1, width=8, height=4)
ax = comparisons.strip(found, ax, nulls=null)

# %% [markdown]
# ## And if nobody had looked at the clock?
#
# The same files, frame *i* put at *i* / rate after the first pulse: missing frames close up, and what follows them
# meets the behaviour of a moment ago. How much that costs depends on how many frames are missing and how fast behaviour
# changes. A small offset can also make a score *better*, when it moves the label towards a signal that is late.

# %%
unseen = mine.plan(cd.Dataset(by_number), n_folds=folds, target="run", say=False)
both = compare.compare(
    {"on one clock": experiment, "by frame number": unseen},
    [models.split(",")[-1]], label="clocks", **pool)
tables.show(compare.table(both))

# %% [markdown]
# ## What this does not show
#
# - **Not more than the split claims**, in the lines above: a score across sessions says nothing about other animals.
# - **Not that 0.5 is chance.** Above the null is where a score begins to mean something.
# - **Not cause and not place.** Whatever follows the behaviour will do: blood, movement of the image, arousal.
# - **Not the best decoder.** Two were tried, with one window and one training; chapter [](51_your_model) brings your
#   own.
#
# ## Result card

# %%
card = mine.card(experiment, null=statement, nulls=null, scores=[found, both])
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
