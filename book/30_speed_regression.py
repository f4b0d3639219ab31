# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How fast does the animal run, beyond whether it runs?
#
# **You will learn** how well speed can be decoded in an animal the decoder has never seen; how much of that score is
# no more than telling running from resting; what smoothing the speed does to it; and how far a decoded speed can be
# trusted, with intervals whose coverage is measured.
#
# **Data** any data set with a speed in cm/s, or with a velocity in its own unit. By default simulated: 5 animals,
# 50 ROIs. `-p target wheel` decodes another behaviour by its name.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about two minutes on 2 cores; paper, the
# published training on every fold: days on such a machine.
#
# **Reproduces** S5 Fig of Ajioka et al. 2024: a network of two GRUs and linear regression decode speed; five groups of
# eight ROIs. **Adds** a ridge regression on the window, an unsmoothed and a causal target, scores within running and
# beside the class means, errors by speed, jumps of the tracker flagged, and prediction intervals.

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.evaluation import cards, conformal
from calcium_decoding.experiments import compare
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting import comparisons, style
from decoding_book.chapter import start
from decoding_book.chapters import regions, speeds, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
regime = "auto"  # split: auto, or a name in splits.REGIMES
recipe = "auto"  # preprocessing: auto, or a name in preprocessing.RECIPES
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
n_blocks = 5  # blocks of a recording in the blocked split
target = "speed"  # what is decoded: speed, or the name of a behaviour
smoothings = "moving_mean_30,causal_30"  # smoothings of the speed
models = "speed_gru_scaled,ridge_window,speed_gru,linear"  # decoders
train_every = 4  # train and validate on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
folds = 3  # folds of every comparison, spread evenly; 0: all
seeds = 1  # trainings of each condition, with seeds from this one on
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("30_speed_regression", globals())
data, flagged, statement = speeds.repaired(chapter.dataset, target)
names = models.split(",")
second = names[:2][-1]  # for areas and smoothings
smoothing, *others = smoothings.split(",")
decoded = {"n_folds": folds, "target": target}
experiment = chapter.plan(data, target_smoothing=smoothing, **decoded)
unit = experiment.task.unit(data)
print(f"target   {target} ({unit}), smoothing {smoothing}")
print(f"outliers {statement}")

# %% [markdown]
# ## What is decoded
#
# The published target is speed smoothed by a centred moving mean of 30 frames. Its value at a frame holds half a second
# of the future, at 30 frames a second, so a decoder of it is no decoder of the present. The causal mean of 30 frames
# ends at the frame; `none` is the speed as it was measured. A velocity counts by its size, there and back alike.
#
# Trackers jump. One frame at sixty times the usual speed outweighs a minute of running in any squared error. So frames
# beyond the **outer fence** of running speed are flagged, in each recording by itself: its upper quartile plus three
# interquartile ranges (Tukey 1977). Quartiles do not move when single frames jump. A flagged frame is not left out; its
# speed is replaced by what lies between its neighbours. Every session with such frames is listed, and further below
# stand the scores against the speed as it was recorded. In **simulated** data no tracker jumps: frames that are flagged
# there are true and fast, and the rule takes them all the same, as it would take an animal's fastest bouts.

# %%
tables.show(flagged, 1)

# %% [markdown]
# ## Which decoder?
#
# The published network has two recurrent layers and three dense ones and gives cm/s. With few steps it first has to
# learn the unit: a mean of ten or twenty, from a start at zero. *GRU, scaled* is ours: the same network, its output in
# units of the SD of the training speed about its mean. *Linear* is the published baseline, least squares on one frame.
# *Ridge* sees every fifth frame of the window; its penalty is chosen inside the training animals.
#
# **R²** is one minus the squared error over the variance of the tested speeds. It is 1 for a perfect decoder and 0 for
# one that says the mean of the *test* frames, which no decoder can know. So R² below 0 is possible and stays in the
# tables: an animal that runs faster than the others can be worse than guessing. The **error** is the mean absolute one.
# First the stored training, speed smoothed by a moving mean of 30 frames:

# %%
stored = chapter.stored("decoders")
fig, axes = style.panels(2, width=13, height=4)
comparisons.strip(stored, axes[0], metric="r2")
comparisons.strip(stored, axes[1], metric="mae")
label = axes[1].set_ylabel("mean absolute error (cm/s)")

# %%
tables.show(compare.table(stored, "r2"), 2)

# %%
tables.show(compare.short_tests(stored, metric="r2"))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
pool = {"store": chapter.store, "jobs": jobs or None}
known = speeds.PUBLISHED if smoothing == "moving_mean_30" else {}
main = compare.run([compare.Condition(
    LABELS[name], experiment, name, published=known.get(name)) for name in names],
    label="decoders", seeds=seeds, **pool)
nulls, null_statement = compare.run_null(
    chapter.plan, data, names[-1], seed,
    target_smoothing=smoothing, **decoded, **pool)
print(null_statement)

# %% tags=["hide-output"]
fig, axes = style.panels(2, width=13, height=4)
comparisons.strip(main, axes[0], metric="r2", nulls=nulls)
comparisons.strip(main, axes[1], metric="mae", nulls=nulls)
label = axes[1].set_ylabel(f"mean absolute error ({unit})")

# %% tags=["hide-output"]
tables.show(compare.table(main, "r2"), 2)

# %% [markdown]
# R², all windows of the tested animal pooled: mean and sample SD over folds, then each test group, an animal or, where
# a split is within sessions, a session. The published figures are shown where the data are the study's or imitate its
# design; on simulated data they say nothing about each other. The mean absolute error in the same way, in the unit of
# the speed:

# %% tags=["hide-output"]
tables.show(compare.table(main, "mae"), 2)

# %% [markdown]
# Differences by fold, then averaged in each animal, with a 95 % interval over animals and the exact sign-flip p, beside
# the study's rank-sum test over folds, which takes folds as independent. A p that so few folds or animals cannot bring
# below 0.05 is not printed, and decoders whose training has not converged are not compared.

# %% tags=["hide-output"]
tables.show(compare.short_tests(main, metric="r2"))

# %% [markdown]
# ## Over time
#
# The fold is the one with the median R² of the first decoder, the stretch the one with the most change. Look at the
# onsets and at the height of a bout: a decoder that knows only whether the animal runs has boxes there.

# %%
n_frames = round(60 * chapter.rate_hz)
place = speeds.middle_session(main, n_frames)
fig, axes = style.stack(2, height=2.3, width=10)
for ax, result in zip(axes, (main[0], main[-1]), strict=True):
    speeds.trace(result, place, n_frames, chapter.rate_hz, ax, unit)

# %% [markdown]
# ## What is R² made of?
#
# Most of the variance of speed is the difference between running and resting. Suppose a decoder knew run from rest
# without any error and nothing else, and said the mean training speed of that class: the **class mean** decoder. Its R²
# is high already, although it does not decode speed at all. Two numbers ask for more:
#
# - **Beyond the class mean**: of the squared error that the class means leave, the share the decoder takes away. Below
#   0 it knows less about speed than the bare run label does.
# - **Running frames only**: R² over running frames, against *their* mean. There the class mean decoder cannot be above
#   0, and telling run from rest is worth nothing.
#
# Bars are means over folds, of decoders whose training has converged. Below -1 the axis is logarithmic.

# %%
made_of = speeds.parts(main)
long = made_of.melt("decoder", [*speeds.PARTS], "of", "share").dropna()
palette = {LABELS[name]: COLOURS[name] for name in names}
marks = {"x": "of", "y": "share", "order": [*speeds.PARTS], "hue": "decoder",
         "hue_order": [*palette], "palette": palette}
said = compare.warning(main)
sure = long[long["decoder"].isin([r.name for r in main if not r.not_converged()])]

# %%
fig, (ax,) = style.panels(1, width=11, height=4)
sns.stripplot(long, **marks, dodge=True, jitter=0.08, size=4, alpha=0.6, ax=ax)
if len(sure):
    sns.pointplot(sure, **marks, dodge=0.8 - 0.8 / len(names), errorbar=None,
                  marker="_", markersize=22, linestyle="none", legend=False, ax=ax)
ax.axhline(0, color=style.NULL_COLOUR, ls="--", lw=1, label="nothing explained")
ax.set_xticks(ax.get_xticks(), [speeds.PARTS[text.get_text()].replace(", ", ",\n")
                                for text in ax.get_xticklabels()])
ax.set_yscale("symlog", linthresh=1)
ticks = [-100, -10, -5, -2, -1, -0.5, 0, 0.5, 1]
ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
ax.set(xlabel="", ylim=(min(-1, 1.1 * long["share"].min()), 1.1),
       ylabel="share of variance explained\n(a dot is a fold)")
style.legend_beside(ax)
ax = style.simulated_mark(style.warned(ax, said), data)

# %%
tables.show(speeds.parts_table(made_of), said=said)

# %% [markdown]
# Read the table by row: an R² over all frames that lies below that of the class mean is a worse account of speed than
# a perfect run label. The comparison is hard on the decoders, since nobody gives them the label; and it is the right
# one for the sentence *speed was decoded*. The published study gives R² over all frames only.
#
# ## Where does it err?
#
# Frames are sorted by their true speed. A least-squares decoder pulls towards the mean: slow running comes out too
# fast, fast running too slow. The least squared error asks for that when the signal does not determine the speed; a
# network that has not converged does it for want of training as well, and the figure cannot tell the two apart.

# %%
of_frames = pd.concat([pd.DataFrame({
    "decoder": result.name, "tested on": fold.test_group, "speed": fold.labels,
    "decoded": fold.predicted, "error": np.abs(fold.labels - fold.predicted)})
    for result in main if result in (main[0], main[-1])
    for fold in result.evaluable()])
speed = of_frames["speed"]
edges = np.linspace(min(0, speed.min()), speed.quantile(0.995), 9)
middle = (edges[1:] + edges[:-1]) / 2  # the last bin holds all beyond
of_frames["true"] = middle[np.searchsorted(edges[1:-1], speed, side="right")]
groups = of_frames.groupby(["decoder", "tested on", "true"])
errors = groups[["decoded", "error"]].mean()[groups.size() >= 30].reset_index()

# %%
fig, axes = style.panels(2, width=11, height=4)
for ax, what in zip(axes, ("decoded", "error"), strict=True):
    lines = {"x": "true", "y": what, "hue": "decoder", "ax": ax,
             "palette": {LABELS[name]: COLOURS[name] for name in names}}
    sns.lineplot(errors, **lines, units="tested on", estimator=None, marker=".",
                 lw=0.5, alpha=0.4, legend=False)  # a thin line is a test group
    sns.lineplot(errors, **lines, errorbar=None, lw=2.4)
    style.simulated_mark(ax, data)
    ax.set_xlabel(f"true speed ({unit})")
axes[0].axline((0, 0), slope=1, color=style.NULL_COLOUR, ls="--", lw=1)  # as true
axes[0].set_ylabel(f"mean decoded speed ({unit})")
style.warned(axes[0], said).get_legend().remove()
axes[1].set(ylabel=f"mean absolute error ({unit})", ylim=(0, None))
style.legend_beside(axes[1])

# %% [markdown]
# ## What does smoothing do?
#
# Each smoothing makes another target, so these R² are not of the same thing. Smoothing takes away what changes within
# half a second, which calcium cannot follow, and the score rises without a better decoder. In the demo the networks
# have the published target only, and the fast decoders all. A centred mean may also fit the indicator less well than a
# causal one: calcium is late, and so is a trailing mean.

# %%
ends = list(dict.fromkeys([second, names[-1]]))
smoothed = {smoothing: main}
for other in others:
    plan = chapter.plan(data, say=False, target_smoothing=other, **decoded)
    smoothed[other] = compare.run([compare.Condition(
        f"{LABELS[name]}, {other}", plan, name) for name in ends],
        label=other, seeds=seeds, **pool)
found = [result for some in smoothed.values() for result in some]
fig, (ax,) = style.panels(1, width=12, height=4)
ax = comparisons.strip(found, ax, published=False, metric="r2")

# %%
tables.show(speeds.parts_table(speeds.parts(found[len(main):])))

# %% [markdown]
# Where flagged frames were replaced, the same predictions are scored here against the speed as it was recorded. One
# jump of a real tracker in a test trial is enough to bring R² to nothing: that is a fact about the tracker, not about
# the decoder. The difference in simulated data is what replacing true fast frames does.

# %%
tables.show(speeds.against_recorded(main[:1], chapter.dataset))

# %% [markdown]
# ## Which areas?
#
# The five groups of eight ROIs of the study (S5D and S5E), all other ROIs set to 0 in training, validation and test.
# The text says that the limb areas (FL&HL) decode speed best and gives no numbers. Simulated areas were given their
# share of what running drives, so their order is by construction. Data without groups of areas show all ROIs only. In
# the demo it is ridge regression that gets the groups, in profile *paper* the published network. A linear decoder
# cannot use a rhythm, whose mean is zero, and in the simulation that is what the limb areas have most of.

# %%
stored = chapter.stored("groups")
fig, (ax,) = style.panels(1, width=9, height=4)
ax = comparisons.strip(stored, ax, metric="r2")

# %% tags=["hide-output"]
sets = regions.sets_of(data)
print(sets.statement)
asked = {name: one for name, one in regions.restricted(experiment, sets).items()
         if name in (sets.all, *sets.groups)}
of_groups = compare.compare(
    asked, [second], label="groups of ROIs", seeds=seeds, **pool)

# %% tags=["hide-output"]
fig, axes = style.panels(2, width=13.5, height=4)
comparisons.strip(of_groups, axes[0], metric="r2")
comparisons.strip(of_groups, axes[1], metric="mae")
label = axes[1].set_ylabel(f"mean absolute error ({unit})")

# %% tags=["hide-output"]
tables.show(compare.table(of_groups, "r2"), 2)

# %% tags=["hide-output"]
tables.show(compare.short_tests(of_groups[1:], metric="r2"))

# %% [markdown]
# ## How far can one decoded speed be trusted?
#
# A **prediction interval** is a range around the decoded speed that should hold the true one at the nominal rate.
# Split conformal prediction makes one from any decoder: take frames that did not train it, sort their absolute errors,
# and use the one at 90 % of the way, counted so that it is exact for a finite number.
#
# It promises coverage only if the new frames are exchangeable with the calibrating ones. **They are not**: the
# calibrating frames are the *validation frames*, which across animals are another animal's (and chose the epoch); and
# frames of a session follow each other. So the coverage on the tested animal is measured here, animal by animal. The
# second way calibrates on the *earlier test frames*, half of the tested animal's own sessions, and is measured on the
# later half; of a single recording, with a gap between the halves. It needs measured speed from that animal, which the
# first way does not. The decoder is the first of this page's own; where it has not converged, coverage is still what
# was measured, but the widths say nothing about what a trained one would need.

# %%
level, levels = 0.9, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
gap_frames = round(10 * chapter.rate_hz)  # 10 s
measured, trouble = conformal.coverage(main[0].folds, levels, gap_frames)
for note in trouble:
    print(note)
said = compare.warning(main[:1])
tables.show(conformal.coverage_table(measured, level), 1, said)

# %%
height = max(3.6, 0.32 * measured["tested_on"].nunique())
fig, axes = style.panels(2, width=12, height=height)
absolute = measured[measured["score"] == "absolute"]
ways = {"hue": "calibrated_on", "hue_order": [conformal.ACROSS, conformal.WITHIN]}
groups = absolute.groupby(["calibrated_on", "tested_on", "level"], as_index=False)
curves = {"data": groups["coverage"].mean(), "x": "level", "y": "coverage", **ways}
sns.lineplot(**curves, units="tested_on", estimator=None, lw=0.6, marker=".",
             alpha=0.5, legend=False, ax=axes[0])  # a thin line is a test group
sns.lineplot(**curves, errorbar=None, lw=2.4, ax=axes[0])
axes[0].get_legend().set_title("calibrated on")
axes[0].axline((0, 0), slope=1, color=style.NULL_COLOUR, ls="--", lw=1)
axes[0].set(xlabel="nominal coverage (dashed: as asked for)", xlim=(0.4, 1),
            ylabel="measured coverage", ylim=(0, 1.01), title="absolute scores")
sns.stripplot(absolute[absolute["level"] == level], x="coverage", y="tested_on",
              **ways, dodge=True, jitter=0.12, legend=False, ax=axes[1])
axes[1].axvline(level, color=style.NULL_COLOUR, ls="--", lw=1)
axes[1].set(ylabel="", xlabel="measured coverage (a dot is a fold)")
for ax in axes:
    style.simulated_mark(style.warned(ax, said), data)

# %% [markdown]
# Coverage over all frames can be right while it is wrong in running and at rest: one width for all frames is too wide
# at rest and too narrow in running, and most frames are one of the two. *Scaled* scores divide the error by the decoded
# speed plus an offset, so the interval widens where the decoder says *fast*. Compare the columns *running* and *rest*.

# %%
fold = next(fold for fold in main[0].folds if fold.fold == place[0])
fig, axes = style.stack(2, height=2.3, width=10)
for ax, score in zip(axes, conformal.SCORES, strict=True):
    _, band, _ = conformal.calibrations(fold, level, gap_frames, score)[0]
    speeds.trace(main[0], place, n_frames, chapter.rate_hz, ax, unit,
                  (band, f"{100 * level:g} %, {score}"))

# %% [markdown]
# ## On real recordings
#
# The speed of a wheel and on a track, decoded from the traces of two public recordings, made by
# `benchmarks/real_recordings.py` and stored with the book; the recordings themselves are not shipped, `calcium-decoding
# data fetch` gets them. The null is the same decoder where the link is cut: behaviour is shifted against the brain
# where there is one session, and comes from another session of the animal where there are several. Where the network
# got one draw only, it has no p; a p of 1/21 is the smallest that so many draws can give. R² is given
# as median and range over folds, because single folds lie far below 0; on the frames of the null, and of the null
# itself, it is a mean. Read what stands below the table before a score.

# %%
tables.show(tables.real_recordings(chapter.name))

# %% [markdown]
# ## What this does not show
#
# - **Not speed by itself.** Effort, arousal, blood and movement of the brain grow with speed. A decoder that hears
#   them decodes speed.
# - **Not the present.** Windows reach half a second ahead, the published smoothing as much, and the published
#   preprocessing sees whole sessions. The causal target ends at the frame; the window does not.
# - **Not place-free.** On a linear track the animal rests at the ends and is fastest in between, so cells that know the
#   place give the speed without knowing it.
# - **Not a calibrated decoder for another animal.** The intervals hold as often as measured here, for these animals. A
#   level is not kept because a formula says so.
# - **Not the published training**, in the demo: a fold a test animal, and fewer and larger steps.
#
# ## What does not exist, fold by fold
#
# A session without movement has no R² of its own, a fold whose speed never changes no score at all. They are named
# here and not left out in silence; a negative R² is a number like others and stands in every mean above.

# %%
every = [fold for result in [*found, *of_groups] for fold in result.folds]
notes = [(fold.fold, note) for fold in every for note in fold.notes]
notes += [(fold.fold, f"no score: {fold.reason}") for fold in every if fold.reason]
notes = pd.DataFrame(notes, columns=["fold", "note"]).drop_duplicates()
tables.show(notes)

# %% [markdown]
# ## Result card

# %%
scores = [*speeds.card_scores(main), *compare.card_scores(of_groups, "r2")]
for other in others:
    scores += speeds.card_scores(smoothed[other], f", {other}")
at_level = measured[measured["level"] == level]
ways = at_level.groupby(["calibrated_on", "score"], sort=False)["coverage"]
for (way, score), values in ways:
    metric = f"coverage {100 * level:g} %, {score}, {way}"
    scores += cards.summarise(names[0], values, metric)[:1]
plans = [result.condition.experiment for result in [*found, *of_groups]]
failed = compare.not_evaluable([*found, *of_groups])
card = chapter.card(plans, failed, nulls, null_statement, scores, {
    "decoders": main, "groups": of_groups})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
