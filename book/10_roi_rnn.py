# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can a recurrent network tell running from resting in a mouse it has never seen?
#
# **You will learn** how a gated recurrent unit (GRU) on a window of ROI traces is trained, chosen and tested across
# animals; whether another network or another filter does better; and what a null says about the score.
#
# **Data** any data set of the manifest with a run label, or with another behaviour of 0 and 1, or of classes, which
# `-p target NAME` decodes; by default simulated: 5 animals, 50 ROIs. The text says *running* for what is decoded.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: two to three minutes on 2 cores; paper,
# the published training: hours (20 folds of 30 epochs on 1.15 million frames, for each network and filter).
#
# **Reproduces** Figs 4 and S4 of Ajioka et al. 2024: GRU and logistic regression over 20 folds, six networks, raw
# traces and filters, and the null with sessions of labels permuted. **Adds** a leak audit before training, the cell of
# the study's framework beside PyTorch's, a linear decoder that sees the same window, one that sees the time in session
# only, a null without fixed points, tests over animals, and a run at the full size of the study.

# %%
import pandas as pd

from calcium_decoding.evaluation import cards, onsets
from calcium_decoding.experiments import compare
from calcium_decoding.models.names import LABELS
from calcium_decoding.plotting import comparisons, interactive, style
from decoding_book.chapter import start
from decoding_book.chapters import data_tour, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
target = "run"  # behaviour that is decoded: 0 and 1, or a number a class
regime = "auto"  # split: auto, or a name in splits.REGIMES
recipe = "auto"  # preprocessing: auto, or a name in preprocessing.RECIPES
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
n_blocks = 5  # blocks of a recording in the blocked split
models = "gru,logistic,logistic_window,time_only"  # decoders, comma between
folds = 0  # folds of the main comparison, spread evenly; 0: all
networks = "gru,lstm,rnn,bigru,bilstm,birnn,gru_keras"  # decoders on some folds
filters = "300,1000,3000"  # lengths of the baseline on some folds, frames
filter_model = "gru"  # decoder for which filters are compared
sweep_folds = 3  # folds of networks and filters, spread evenly; 0: all
seeds = 1  # trainings of each condition, with seeds from this one on
train_every = 4  # train and validate on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
null_models = "gru"  # decoders refitted on permuted sessions; empty: none
null_folds = 5  # folds the null is refitted on, spread evenly; 0: all
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("10_roi_rnn", globals())
experiment = chapter.plan(n_folds=folds)
pool = {"store": chapter.store, "jobs": jobs or None}

# %% [markdown]
# The lines above say what is decoded and how it is tested. *Animal pairs* is the published design: each ordered pair
# of animals tests and validates once, the others train; validation picks the epoch, the test animal is never looked
# at. Recordings of a single animal are cut into contiguous blocks with a purge gap, and recordings whose cells change
# from day to day are decoded day by day, with the last trial as the test. Before anything is trained, every fold is
# audited: no frame that a training window or its preprocessing touches may be touched by a test window.
#
# ## Look first
#
# One test recording, raw. The decoder gets such traces after the preprocessing named above, in windows around each
# frame.

# %%
example = data_tour.example_of_test(experiment)
start_s = data_tour.interesting_start_s(
    example, 60, experiment.task.target(example), experiment.split)
fig, (ax,) = style.panels(1, height=3.6)
title = ax.set_title(f"{example.id}: {example.signal_unit}")
ax = style.traces(example, data_tour.spread_of_rois(example), start_s, 60, ax)

# %% [markdown]
# ## Train and test
#
# The GRU has 32 units and is read at the last frame of the window. The loss is binary cross-entropy with label
# smoothing of 0.001, the optimiser Adam. Logistic regression sees the labelled frame alone (as in the study) or every
# fifth frame of the same window. *Time only* sees no signal at all, just the time since the session began: what it
# scores, slow drift alone can give. Each fold is trained in a process of its own; finished folds are kept, so an
# interrupted run goes on.

# %%
decoded = chapter.decode(experiment)

# %% [markdown]
# Left: thin lines are folds, the thick line is their mean, dots mark the epoch that was kept, the one with the lowest
# validation loss. The dotted line is the loss of a decoder that always says one half. Where validation loss rises while
# training loss falls, the network learns what is special to the training animals. Middle: how well it separates the
# animals it was trained on, the one that chose the epoch, and the one it never saw. The gap between the first and the
# last is the cost of a new animal. Right: the last again, by animal.

# %%
fig, axes = style.panels(3, width=13, height=3.8)
style.learning_curves(decoded, axes[0])
style.roc_by_role(decoded, axes[1])
ax = style.roc_by_group(decoded, axes[2])

# %% [markdown]
# ## Does the trace follow the animal?
#
# The decoded probability of running over the same minute of the same test recording. Look at onsets and offsets: most
# errors of a good decoder sit there, where the label itself is a matter of a threshold.

# %%
testing = tables.folds_testing(decoded, example)
fig, axes = style.stack(len(testing))
for ax, fold in zip(axes, testing, strict=True):
    style.decoded_trace(fold, example, start_s, 60, ax)

# %% [markdown]
# The whole recording, interactively. Drag the window in the lowest strip, or its ends, to see another stretch; hover
# for values; click a decoder's name to hide its line. Errors within a long bout deserve a second look at the traces
# above.

# %%
rois = data_tour.spread_of_rois(example)
interactive.recording(example, rois, testing, start_s)

# %% [markdown]
# ## How soon, and how often in vain?
#
# An AUC over frames does not tell a decoder that is late at every onset from one that misses a few bouts; for a closed
# loop the difference is all. An **onset** of running is a step from a second of rest to a second of running. It is
# *detected* if the decoded probability crosses one half from half a second before it to a second after it; the *delay*
# is the median over detected onsets, negative where the decoder is early, as one that looks ahead may be. A **false
# alarm** is a crossing during rest, away from every onset. Means over test animals; the threshold was not tuned, and a
# decoder that hardly ever crosses it has few false alarms and few detections. Classes have no onsets here.
#
# Read *detected* beside *false alarms*. A decoder that crosses one half all the time, 200 times a minute of rest, has a
# crossing within the second and a half around almost any moment: it detects nearly every onset by chance, and its delay
# is that of chance. Here that holds for both logistic regressions.

# %%
events = decoded if experiment.task.kind == "binary" else []
of_onsets = onsets.by_fold(events, chapter.rate_hz)
by_animal = of_onsets.drop(columns="fold").groupby(["model", "animal"], sort=False)
of_decoders = by_animal.mean().groupby("model", sort=False).mean()
of_decoders["training"] = of_decoders.index.map(tables.unconverged(events))
of_decoders = of_decoders.rename(index=LABELS).rename_axis("decoder")
tables.show(of_decoders.reset_index(), decimals=2)

# %% [markdown]
# ## The null: what does the same network score when there is nothing to find?
#
# Each session's activity meets the behaviour of *another* session of the same animal. Slow drifts, the share of
# running and the smoothness of both signals are kept; the link between brain and behaviour is cut. A decoder should
# then score at chance, 0.5 of running. The study drew one permutation that left 3 of 64 sessions in place; in ours
# none stays. Where the data have the study's numbers of sessions, its own permutation is run as well.

# %%
nulls, null_statement = chapter.decode_null()
theirs, their_statement = chapter.decode_null("published")
print(null_statement, their_statement, sep="\n")

# %% [markdown]
# ## Scores
#
# Each dot is a fold, the bar with caps is mean and sample SD over folds. Folds share animals and training data: the
# SD is a spread, not a standard error, and 20 folds of 5 animals are not 20 independent tests. First the stored
# training, whose networks are compared further below:

# %%
stored = chapter.stored("networks")
tables.show(compare.table(stored))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=7, height=4)
published = tables.published_scores(experiment)
ax = style.fold_scores(decoded, nulls, ax, published)

# %% tags=["hide-output"]
tables.show(tables.score_table(decoded, nulls, chapter.dataset))

# %% [markdown]
# A published figure is shown next to ours only where the data are the study's own or imitate its design. On simulated
# data agreement and disagreement imply nothing about the published number: the world was built so that running can be
# decoded.
#
# ## By test group
#
# A mean over folds hides an animal (or a day) on which decoding fails. Here is each test group by itself.

# %%
scored = decoded.table(decoded.main_score).dropna(subset="value")
means = scored.pivot_table("value", "test_group", "decoder", sort=False)
said = tables.warning(decoded)
tables.show(means.rename(columns=LABELS).reset_index(), said=said)

# %% [markdown]
# Folds without a score, if any, with the reason. A test stretch without running has no AUC; it is named here and left
# out of the means, not counted as chance.

# %%
tables.show(tables.not_evaluable_table(decoded))

# %% [markdown]
# ## Does it matter which network?
#
# Six recurrent layers of 32 units as in Fig 4F, three of them in both directions, on the same folds, trained alike. One
# more: the cell of the study's framework, whose gates are straight lines between 0 and 1 in place of the logistic curve
# (`gru_keras`). If it scored unlike PyTorch's GRU, figures of the two could not be compared. First the stored
# training, whose scores stand in a table above, of three of these networks and of logistic regression; the others are
# on this page only:

# %%
fig, (ax,) = style.panels(1, width=10, height=3.8)
ax = comparisons.strip(stored, ax)

# %% [markdown]
# All pairs. The rank-sum over folds with Holm's correction and stars is the study's test; it takes folds as
# independent, which they are not. Ours is the mean difference over animals, of folds matched by name, with a 95 % t
# interval, and the sign-flip test over animals. A p that so few folds or animals cannot bring below 0.05 is not
# printed; the line below the table says why.
#
# A network is compared only if its training has **converged**: the last epoch took no more than 5 % off the training
# loss, which did not end more than 10 % above its lowest, and the training windows are decoded well above chance.
# Whatever has not says NOT CONVERGED, in tables and figures, and has no difference, no mean in the figure, and nothing
# published beside it. Nor has a pair of which the seeds of one condition differ by more than the two conditions do.

# %%
tables.show(compare.short_tests(stored))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:
# Two epochs over few frames, as in the demo, are short: what differs then is how *fast* networks learn as much as what
# they can learn.

# %% tags=["hide-output"]
some = {"n_folds": sweep_folds, "say": False}
sweep = chapter.plan(**some)
known = tables.PUBLISHED if sweep.recipe["name"] == "published" else None
asked = {name: sweep.with_(decoders=[name]) for name in networks.split(",") if name}
compared = compare.compare(
    asked, published=known, label="networks", seeds=seeds, **pool) if asked else []

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=10, height=3.8)
ax = comparisons.strip(compared, ax, nulls=nulls)

# %% tags=["hide-output"]
tables.show(compare.table(compared))

# %% tags=["hide-output"]
tables.show(compare.short_tests(compared))

# %% [markdown]
# ## Does the filter matter?
#
# The study subtracts a moving mean of 1,000 frames from each trace and reports that this helps (Fig 4E against raw
# traces; Fig S4 for other lengths, which are not stated, so the grid is ours). A short baseline takes the signal away
# with the drift. A long one leaves the drift in. Where the split lies within recordings nothing stands here: this
# filter would look at test frames.

# %%
stored = chapter.stored("filters")
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.table(stored))

# %%
tables.show(compare.short_tests(stored, against="no filter"))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
asked, known = {}, {"1000 frames": tables.PUBLISHED.get(filter_model)}
if filter_model == "gru":
    known["no filter"] = ("roi_rnn_raw", "GRU", "raw")
if filters and experiment.recipe["name"] in ("published", "raw"):
    asked["no filter"] = chapter.plan(recipe="raw", **some)
    for length in map(int, filters.split(",")):
        asked[f"{length} frames"] = chapter.plan(
            recipe="published", changes={"baseline_frames": length}, **some)
filtered = compare.compare(
    asked, [filter_model], known, label="filters", seeds=seeds,
    **pool) if asked else []

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(filtered, ax, nulls=nulls)

# %% tags=["hide-output"]
tables.show(compare.table(filtered))

# %% tags=["hide-output"]
tables.show(compare.short_tests(filtered, against="no filter"))

# %% [markdown]
# In the simulation brain and behaviour drift by themselves, as much as we chose; how much a filter gains there is our
# doing, and depends on how long the network was trained: compare the two tables of scores above. No published p stands
# beside these: the study's own family holds a decoder whose folds were not saved.
#
# ## At full size
#
# The published training, 30 epochs in batches of 256 at a rate of 0.001, on simulated data of the study's size: 64
# sessions, 1,152,000 frames. It takes longer than a page may, so the card is stored with the book and shown here
# whatever data the chapter ran on; `book/stored/README.md` has the command. It holds five of the twenty folds, one for
# each test animal.

# %%
stored = cards.stored_card("10_roi_rnn.simulated-study")
tables.show(tables.stored_summary(stored))

# %% [markdown]
# The nulls at this size, ours and the study's own permutation, with the GRU beside them: the same folds after one epoch
# in place of thirty. Of one epoch it is not known whether the loss still fell, so these count as NOT CONVERGED: nothing
# is concluded from them.

# %%
after_one = cards.stored_card("10_roi_rnn.simulated-study-null")
tables.show(tables.stored_summary(after_one))

# %%
tables.show(stored.origin() if stored else pd.DataFrame())

# %% [markdown]
# These numbers are **simulated**, in the world as it was before the calibration of chapter 04: an easier one, whose
# animals were more alike. They show that the published protocol runs as written, what it costs, and that it finds a
# link that was put there. How high they are says nothing.

# %% [markdown]
# ## On real recordings
#
# Running decoded from the traces of two public recordings, made by `benchmarks/real_recordings.py` and stored with the
# book; the recordings themselves are not shipped, `calcium-decoding data fetch` gets them. The null is the same decoder
# where the link is cut: behaviour is shifted against the brain where there is one session, and comes from another
# session of the animal where there are several. Where the network got one draw only, it has no p; a p of 1/21
# is the smallest that so many draws can give. Read what stands below the table before a score.

# %%
tables.show(tables.real_recordings(chapter.name))

# %% [markdown]
# ## What this does not show
#
# - **Not in real time.** The window looks ahead of the labelled frame, and the published preprocessing sees the whole
#   session; both are printed at the top. A causal decoder may score lower.
# - **Not what the animal intends.** Running moves the body, the eyes and the blood; activity that follows movement
#   decodes as well as activity that causes it.
# - **Not more than these animals.** Five animals allow no claim finer than five numbers; with one animal there is no
#   claim about animals at all.
# - **One draw of the null** tells whether the pipeline leaks grossly. It gives no p-value.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
others = [r for r in compared if r.name not in models.split(",")]
card = chapter.card(experiment, decoded, nulls, null_statement, scores=[
    *cards.fold_scores(theirs, " published null"), *onsets.card_scores(of_onsets),
    *compare.card_scores(others), *compare.card_scores(filtered)],
    comparisons={"networks": compared, "filters": filtered})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
