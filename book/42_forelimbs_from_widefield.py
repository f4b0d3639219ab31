# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How much of a decoded movement comes after it?
#
# **You will learn** how the same recordings give one score when the decoder sees the second after an onset and the
# quiet frames are easy, another when its window ends at the onset, and a third when every frame counts; what a mouse
# the decoder has never seen costs, and what labelled minutes of it give back; and what days do to a decoder.
#
# **You should know** what a split claims ([](02_splits_and_leakage)) and what a null is ([](03_chance_and_nulls)).
#
# **Data** by default **simulated**, in the layout of BraiDyn-BC (Kondo et al., Scientific Data 2025, DANDI 001425):
# mice that pull a lever for water, 44 parcels of dorsal cortex at 30 Hz, both forepaws tracked on video. The real
# recordings are `--dataset braidyn-bc`, once they are fetched; nothing in this chapter changes.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about three minutes on 2
# cores, with the simulation; paper: longer, hours on the real recordings.
#
# **Reproduces** nothing. What others report on the real recordings stands beside this page's numbers with its
# definition, and is not compared with them. **Adds** causal windows, all frames, the violet channel, labelled minutes,
# and days.

# %%
import numpy as np
import pandas as pd
import seaborn as sns

import calcium_decoding as cd
from calcium_decoding.evaluation import cards, convergence
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons, style
from calcium_decoding.preprocessing import with_control
from calcium_decoding.simulation import planted
from decoding_book.chapter import start
from decoding_book.chapters import tables
from decoding_book.chapters.forelimbs import events, splits

# %% tags=["parameters"]
dataset = "simulated-braidyn"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
movements = "lever,lick,right paw,left paw"  # movements that are decoded
networks = "lever,lick"  # movements that a network decodes too; empty: none
movement = "lever"  # movement of the sections on a new mouse and on days
before_frames = 15  # frames before an onset
after_frames = 30  # frames after it
quiet_s = 2.0  # how far from any such movement the easy negatives lie, s
paw_px_s = 100.0  # speed above which a paw moves, px/s
every_frames = 15  # frames from one window to the next where all frames are decoded
minutes = "0,1,5"  # labelled minutes of a new mouse
folds = 5  # folds of every comparison, spread evenly; 0: all
epochs = 40  # epochs over the training windows at most
patience = 6  # epochs without a better validation loss until training stops
batch_size = 128  # windows a step
learning_rate = 0.003  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("42_forelimbs_from_widefield", globals())
data = events.movements(chapter.dataset, paw_px_s)
names = movements.split(",")
training = cd.TrainingSettings(
    epochs=epochs, patience=patience, batch_size=batch_size,
    learning_rate=learning_rate, seed=seed, device=device)
pool = {"store": chapter.store, "jobs": jobs or None}
print("\n".join(data.recordings[0].notes))

# %% [markdown]
# ## What was recorded
#
# A tone invites the mouse to pull a lever with its right paw; a pull that is held gives water, and the mouse licks. It
# also pulls, licks and moves its paws at other times. Four movements are decoded: the **lever** beyond its threshold, a
# bout of **licks**, and the speed of either **paw** above `paw_px_s`. Pauses shorter than a fifth of a second, of licks
# half a second, do not end a movement.
#
# The traces of the source are corrected for blood: the violet channel is regressed out of the blue one, after both were
# filtered forwards and backwards in time. So they look a little ahead by themselves, whatever the window does.

# %%
one = data.recordings[0]
rate_hz = one.rate_hz
moving = sum(one.behaviour[name] for name in names)
n_frames = min(round(30 * rate_hz), one.n_frames - 1)
first = int(np.convolve(moving, np.ones(n_frames), "valid").argmax())
here = slice(first, first + n_frames)
time_s = np.arange(n_frames) / rate_hz
areas = ["MOp_left", "MOp_right", "SSp_ul_left", "SSp_ul_right",
         "SSp_m_left", "RSPd_left"]
rois = [one.roi_names.index(area) for area in areas]

# %%
fig, (top, bottom) = style.stack(2, heights=[2.4, 1.4], width=10)
for i, roi in enumerate(rois):
    trace = 100 * one.signal[here, roi]
    top.plot(time_s, trace - 5 * i, lw=0.9, color=style.SIGNAL)
for i, name in enumerate(names):
    bottom.fill_between(time_s, -i, 0.8 * one.behaviour[name][here] - i)
top.set_yticks([-5 * i for i in range(len(rois))], areas)
bottom.set_yticks([0.4 - i for i in range(len(names))], names)
bottom.set_xlabel("time (s)")
mark = style.simulated_mark(top, one)

# %% [markdown]
# Six of the 44 parcels, 5 % dF/F from one to the next, and the four movements, in the busiest half minute of the first
# session. Below, the mean around onsets, less the mean of the time before them in the window: what changes left of the
# dashed line could foretell the movement; what changes right of it can only report it.

# %%
around_s = np.arange(-before_frames, after_frames + 1) / rate_hz
seen = cd.WindowSpec(before_frames, after_frames)
fig, axes = style.panels(len(names), 3.4 * len(names), sharey=True)
for ax, name in zip(axes, names, strict=True):
    windows = events.around(data, name, seen, quiet_s)
    cut = [r.signal[start:stop] for r in windows.recordings
           for start, stop in r.stretches
           if r.behaviour[name][start + before_frames]]
    mean = 100 * np.mean(cut, axis=0)
    for area, roi in zip(areas, rois, strict=True):
        base = mean[:before_frames, roi].mean()
        ax.plot(around_s, mean[:, roi] - base, label=area)
    ax.axvline(0, color=style.NULL_COLOUR, ls="--", lw=1)
    ax.set(title=f"{name}, {len(cut)} onsets", xlabel="time from the onset (s)")
axes[0].set_ylabel("dF/F (%)")
style.legend_beside(axes[-1])
mark = style.simulated_mark(axes[-1], data)

# %% [markdown]
# ## Three ways to score the same recordings
#
# 1. **With the second after**, as others have scored BraiDyn-BC: is this the onset of a movement, or a frame two
#    seconds or more from any? The decoder sees half a second before the frame and a second after it. The linear one
#    gets the mean over that second less the mean over the half second before. So it looks a second ahead, and the
#    negatives are easy: nothing near a movement is asked about.
# 2. **Up to the onset**: the same onsets and the same kind of negatives, but the window ends at the frame. This asks
#    what the cortex knows before the movement begins.
# 3. **All frames**: is the animal moving now? Every frame counts, also those before, between and just after movements;
#    the window ends at the frame. This is what a decoder has to do that runs with the animal.
#
# The windows are equally long, and the linear decoder has the same feature in all three. Windows around onsets do not
# overlap: an onset that follows another too closely is left out.

# %%
length = before_frames + after_frames
ways = {"with the second after": seen,
        "up to the onset": cd.WindowSpec(length, 0),
        "all frames": cd.WindowSpec(length, 0, stride=every_frames)}
counted = pd.concat({
    name: events.counts(events.around(data, name, seen, quiet_s), name)
    for name in names}, names=["movement"]).groupby("movement", sort=False).sum()
counted["all onsets"] = [sum(int((np.diff(r.behaviour[name]) > 0).sum())
                             for r in data.recordings) for name in counted.index]
tables.show(counted[["all onsets", "onsets", "quiet"]].reset_index(), 0)

# %% [markdown]
# Each way is scored **across mice**, where all sessions of the tested mouse are new to the decoder, and **within
# mouse**, where other days of the same mouse have trained it: far fewer windows, so that the two differ in that as
# well. The **null** pairs each session's traces with the behaviour of another session of the same mouse and does
# everything anew. Every split is audited for leaks before anything is trained.

# %%
null, statement = compare.drawn(data, seed)
linear = events.linear()
tested = {"across mice": (data, "animal_pairs"),
          "within mouse": (data, "leave_one_session_out")}
if null is not None:
    tested["null"] = (null, "animal_pairs")
plans = {}
for where, (of, split) in tested.items():
    for name in names:
        for way, window in ways.items():
            everything = way == "all frames"
            plans[where, name, way] = plan = cd.Experiment(
                of if everything else events.around(of, name, window, quiet_s),
                split=split, input=cd.Traces("scaled", window),
                task=cd.Binary(name), decoders=[linear],
                training=training, n_folds=folds)
            plan.audit()
    n_folds = len(plan.split.folds)
    print(f"{where}: {plan.split.claim}, {n_folds} folds, audits passed")
print(f"null: {statement}")

# %%
asked = [(*key, linear) for key in plans]
asked += [("across mice", name, way, "gru")
          for name in networks.split(",") if name in names for way in ways]
found = compare.run([compare.Condition(
    f"{where}, {name}, {way}, {getattr(decoder, 'name', decoder)}",
    plans[where, name, way], decoder) for where, name, way, decoder in asked],
    label="three ways", **pool)
scores = pd.DataFrame([
    {"where": where, "movement": name, "way": way, "decoder": fold.model,
     "mouse": fold.animal, "AUC": fold.scores["auc"]}
    for (where, name, way, _), result in zip(asked, found, strict=True)
    for fold in result.evaluable()])

# %%
fig, axes = style.panels(len(names), 3.4 * len(names), 3.8, sharey=True)
said = compare.warning(found)
scores["what"] = scores["where"] + ", " + scores["decoder"]
kinds = [*scores["what"].unique()]
for ax, name in zip(axes, names, strict=True):
    sns.stripplot(
        scores[scores["movement"] == name], x="way", y="AUC", order=[*ways],
        hue="what", hue_order=kinds, palette="colorblind", dodge=True, size=4,
        alpha=0.7, ax=ax, legend=ax is axes[-1])
    ax.axhline(0.5, color=style.NULL_COLOUR, ls="--", lw=1)
    ax.set_xticks(range(3), [way.replace(" ", "\n") for way in ways])
    ax.set(title=name, xlabel="")
style.legend_beside(axes[-1])
mark = style.simulated_mark(axes[-1], data)

# %% [markdown]
# A dot is a tested mouse, the dashed line chance. Means over mice:

# %%
means = scores.pivot_table(index=["movement", "where", "decoder"], columns="way",
                           values="AUC", sort=False)
tables.show(means[[*ways]].reset_index())

# %% [markdown]
# The first two columns have the same onsets, the same decoder and the same kind of negatives; their difference, mouse
# by mouse, is below. A decoder that is meant to foretell, or to run with the animal, has to be judged by the second or
# the third column. Where a score lies no higher than those of the null, nothing is shown to be decoded.
#
# For a network the difference is not look-ahead alone. It reads its window in order, and the onset lies at the end of
# the second window, but a second back in the first: with few onsets to learn from, that may cost it more than the
# second after gives.

# %%
by_mouse = scores[scores["where"] == "across mice"].pivot_table(
    index=["movement", "decoder", "mouse"], columns="way", values="AUC", sort=False)
worth = by_mouse["with the second after"] - by_mouse["up to the onset"]
worth = worth.groupby(["movement", "decoder"], sort=False).agg(
    ["mean", "min", "max", "size"])
tables.show(worth.rename(
    columns={"mean": "first less second way", "size": "mice"}).reset_index())

# %% [markdown]
# ## Is it the movement, or the tone before it?
#
# A window that ends at the onset is as long as one that looks ahead, and so it reaches a second further back. In a cued
# task the cue lies there. A decoder of the past may hear the tone in the auditory cortex and bet on a pull: it is
# right, and yet no movement is decoded. Below, the same predictions, scored on all windows and on those that hold no
# tone. What is gained only with the tone belongs to the task.

# %%
cue = pd.DataFrame([{
    "movement": name, "way": way, "decoder": result.folds[0].model,
    "AUC, all windows": np.mean([*result.values().values()]),
    "AUC, without tone": np.nanmean(events.without_cue(result, data, length))}
    for (where, name, way, _), result in zip(asked, found, strict=True)
    if where == "across mice" and way != "with the second after"])
tables.show(cue)

# %% [markdown]
# ## Beside what others report
#
# Others report these AUCs for the first way on the real recordings, leaving one mouse out of 25
# ([v1hns/braidyn-decoding](https://github.com/v1hns/braidyn-decoding) at 2b884ad; manuscripts that were not reviewed).
# The strength of the simulated signals was set so that the linear score of the first way comes near theirs, so that
# agreement there shows nothing at all. On the real set this table is where a replication would begin.

# %%
mine = scores.query("where == 'across mice' and way == 'with the second after'")
mine = mine.pivot_table(
    index="movement", columns="decoder", values="AUC", sort=False)
mine = mine.add_suffix(", here").reset_index()
tables.show(mine.merge(events.REPORTED, how="left", on="movement"))

# %% [markdown]
# ## Have the networks learned?
#
# The network is a GRU of 32 units on the whole window. It has a few hundred onsets to learn from, so training stops
# when the validation mouse gets no better.

# %%
trained = [(name, way, result) for (_, name, way, decoder), result
           in zip(asked, found, strict=True) if decoder != linear]
tables.show(pd.DataFrame([{
    "movement": name, "way": way,
    "epochs": max(len(f.history.train_loss) for f in result.folds),
    "AUC": np.mean([f.scores["auc"] for f in result.evaluable()]),
    "training AUC": np.mean([f.scores["auc_train"] for f in result.evaluable()]),
    "training": convergence.marked(result.not_converged()) or "converged"}
    for name, way, result in trained]))

# %% [markdown]
# ## Is it blood?
#
# Blood absorbs light, and follows movement a second later. Under **violet** light the indicator hardly changes, so that
# what is seen there is blood, movement of the brain and drift. The source regresses it out of the **blue** channel over
# the whole session. Here the same decoder gets either channel by itself, and blue less violet with slopes from training
# frames alone: once with a violet trace smoothed around each frame, which looks half a second ahead, once with one that
# is smoothed over the past. What violet alone decodes is no neuron's.

# %%
blue, violet = (events.movements(
    cd.load_dataset(dataset, data_dir or None, series=series), paw_px_s)
    for series in ("DfOverF/dFF_B", "DfOverF/dFF_V"))
both = cd.Dataset([with_control(one, other.signal) for one, other in zip(
    blue.recordings, violet.recordings, strict=True)])
past = {"how": "previous", "smoothing": "trailing"}
sources = {"source's correction": (data, "scaled"), "blue": (blue, "scaled"),
           "violet": (violet, "scaled"),
           "blue less violet": (both, {"name": "scaled", "blood": {}}),
           "the same, causal": (both, {"name": "scaled", "blood": past})}

# %%
plans |= {("sources", name): cd.Experiment(
    of, split="animal_pairs", input=cd.Traces(recipe, ways["all frames"]),
    task=cd.Binary(movement), decoders=[linear], training=training,
    n_folds=folds) for name, (of, recipe) in sources.items()}
of_sources = compare.run([compare.Condition(name, plans["sources", name], linear)
                          for name in sources], label="sources", **pool)
tables.show(compare.table(of_sources))

# %%
fig, (ax,) = style.panels(1, width=8, height=3.6)
ax = comparisons.strip(of_sources, ax)

# %% [markdown]
# Where violet alone scores above the null, part of what blue decodes may be blood; where the correction costs little,
# most was not. Neurons and blood follow the same movement, so a regression takes some of the neurons' share as well.

# %% [markdown]
# ## A new mouse, with a few labelled minutes
#
# The last day of each mouse is tested. The decoder has all days of the other mice, and the first minutes of the tested
# mouse's earlier days, with their labels: none, or as many as the axis says. The tested frames are the same everywhere.

# %%
window = ways["all frames"]
common = {"input": cd.Traces("scaled", window), "task": cd.Binary(movement),
          "decoders": [linear], "training": training}
given = [float(k) for k in minutes.split(",")]
new = {k: cd.Experiment(data, split=splits.new_mouse(data, k),
                        n_folds=folds, **common) for k in given}
of_minutes = compare.run([
    compare.Condition(f"{k:g} labelled min", plan, linear, value=k)
    for k, plan in new.items()], label="new mouse", **pool)
fig, (ax,) = style.panels(1, width=8, height=3.6)
ax = comparisons.curve(of_minutes, ax, "labelled minutes of the tested mouse")

# %%
tables.show(compare.table(of_minutes))

# %% [markdown]
# ## Days apart
#
# Within a mouse, one day trains and a later one is tested. Weights of the simulated parcels wander from day to day, so
# that the decoder of a day can age. How fast is a setting of the simulation; whether a real one ages is what the real
# set can tell.

# %%
apart = splits.days_apart(data, n_folds=3 * folds)
of_days = compare.run([
    compare.Condition(
        f"gap of {gap} d", cd.Experiment(data, split=split, **common), linear,
        value=gap) for gap, split in apart.items()],
    label="days apart", **pool)
fig, (ax,) = style.panels(1, width=8, height=3.6)
ax = comparisons.curve(of_days, ax, "days from training to test")

# %%
tables.show(compare.table(of_days))

# %% [markdown]
# ## Back to the parcels
#
# The linear decoder has a weight for each parcel. Their names are those of the atlas, so that a result can be followed
# back to a place. A weight says what this decoder uses, not where something happens: parcels that carry the same share
# the weight, and one that carries nothing of the movement can get a large one of the other sign, since it takes away
# what it shares with its neighbours. On simulated data the planted weights stand beside it.

# %%
key = "across mice", names[0], "with the second after"
parts = plans[key].fitted(linear, store=chapter.store).decoder.estimator
used = pd.DataFrame({"parcel": one.roi_names, "decoder": parts[-1].coef_[0]})
truth, said_of_truth = planted(chapter.dataset)
print(said_of_truth)
if truth:
    sources = {"lever": "pull", "right paw": "rightpaw", "left paw": "leftpaw"}
    row = [*truth["planted"]].index(sources.get(names[0], names[0]))
    days = [values[row] for name, values in truth.items()
            if name.startswith("weights/")]
    used["planted, % dF/F"] = np.mean(days, axis=0)
largest = used.reindex(used["decoder"].abs().sort_values(ascending=False).index)
tables.show(largest.head(8), 2)

# %% [markdown]
# ## What this does not show
#
# - **Nothing about brains**, on simulated data: where activity leads and where it follows was planted.
# - **Not that a causal window is causal throughout.** The correction for blood was filtered backwards too, over the
#   whole session. A decoder for use while the animal moves needs traces that were corrected frame by frame.
# - **Not preparation.** Movements follow each other: a tone comes before a cued pull, a pull before the water that is
#   licked. Leaving out the windows with a tone takes away one of these only.
# - **Not which paw.** The right paw pulls the lever and the left one often goes along, so that each is decoded in part
#   by way of the other.
# - **Not a comparison of decoders.** There is one setting of the network's training, and few mice.
#
# ## In short
#
# A window that reaches a second past the onset reports a movement; it does not foretell it, nor does its score say how
# well a decoder runs with the animal. Say where the window ends and which frames were asked about, beside every AUC.
# Labelled minutes of the new mouse, and days between training and test, belong to the definition as well.
#
# ## Your turn
#
# 1. Set `quiet_s` to 0 and run the chapter again. Which of the three columns can change, and which way?
# 2. Set `after_frames` to 10. What should happen to the difference between the first two columns?
#
# :::{dropdown} Answers
# 1. The first two. Frames shortly before and after a movement now count as negatives, and their windows hold part of
#    it, so that the scores should fall. All frames were always asked about in the third.
# 2. It should shrink: less of the movement is seen. The window up to the onset is shorter by as much, so compare the
#    two, not each with what it was before.
# :::
#
# ## Result card

# %%
results = [*found, *of_sources, *of_minutes, *of_days]
lines = [line for result in results for line in cards.summarise(
    result.name, result.values().values())[:1]]
lines += [cards.converged(result.name, result.not_converged(), len(result.folds))
          for _, _, result in trained]
every = [result.condition.experiment for result in results]
kept = {"three ways": found, "sources": of_sources, "new mouse": of_minutes,
        "days apart": of_days}
card = chapter.card(every, compare.not_evaluable(results), null=statement,
                    scores=lines, comparisons=kept)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
