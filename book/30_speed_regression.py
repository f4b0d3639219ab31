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
from calcium_decoding.evaluation import conformal
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons, style
from decoding_book.chapter import start
from decoding_book.chapters import tables
from decoding_book.chapters.regions import roi_sets
from decoding_book.chapters.speeds import figures, speed_tables

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
train_every = 4  # train on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
folds = 3  # folds of every comparison, spread evenly; 0: all
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("30_speed_regression", globals())
data, flagged, statement = speed_tables.repaired(chapter.dataset, target)
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
# stand the scores against the speed as it was recorded.

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

# %%
pool = {"store": chapter.store, "jobs": jobs or None}
main = compare.run(
    speed_tables.conditions_of(experiment, names), label="decoders", **pool)
nulls, null_statement = compare.run_null(
    chapter.plan, data, names[-1], seed,
    target_smoothing=smoothing, **decoded, **pool)
print(null_statement)

# %%
fig, axes = style.panels(2, width=13, height=4)
comparisons.strip(main, axes[0], metric="r2", nulls=nulls)
comparisons.strip(main, axes[1], metric="mae", nulls=nulls)
label = axes[1].set_ylabel(f"mean absolute error ({unit})")

# %%
tables.show(compare.table(main, "r2"), 2)

# %% [markdown]
# R², all windows of the tested animal pooled: mean and sample SD over folds, then each test group, an animal or, where
# a split is within sessions, a session. The published figures are shown where the data are the study's or imitate its
# design; on simulated data they say nothing about each other. The mean absolute error in the same way, in the unit of
# the speed:

# %%
tables.show(compare.table(main, "mae"), 2)

# %% [markdown]
# Differences by fold, then averaged in each animal, with a 95 % interval over animals and the exact sign-flip p, beside
# the study's rank-sum test over folds, which takes folds as independent. Five animals cannot give a p below 1/16.

# %%
tables.show(compare.short_tests(main, metric="r2"))

# %% [markdown]
# ## Over time
#
# The fold is the one with the median R² of the first decoder, the stretch the one with the most change. Look at the
# onsets and at the height of a bout: a decoder that knows only whether the animal runs has boxes there.

# %%
n_frames = round(60 * chapter.rate_hz)
place = figures.middle_session(main, n_frames)
fig, axes = style.stack(2, height=2.3, width=10)
for ax, result in zip(axes, (main[0], main[-1]), strict=True):
    figures.trace(result, place, n_frames, chapter.rate_hz, ax, unit)

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
# A triangle at the lower edge is a fold that lies below it, a dotted bar there a mean.

# %%
made_of = speed_tables.parts(main)
fig, (ax,) = style.panels(1, width=11, height=4)
ax = figures.parts(made_of, ax)

# %%
tables.show(speed_tables.parts_table(made_of))

# %% [markdown]
# Read the table by row: an R² over all frames that lies below that of the class mean is a worse account of speed than
# a perfect run label. The comparison is hard on the decoders, since nobody gives them the label; and it is the right
# one for the sentence *speed was decoded*. The published study gives R² over all frames only.
#
# ## Where does it err?
#
# Frames are sorted by their true speed. A least-squares decoder pulls towards the mean: slow running comes out too
# fast, fast running too slow. That is no fault of training, it is what the least squared error asks for when the signal
# does not determine the speed. The error therefore grows with speed, and few frames hold most of it.

# %%
errors = speed_tables.by_speed([main[0], main[-1]])
fig, axes = style.panels(2, width=11, height=4)
figures.by_speed(errors, "decoded", axes[0], unit)
ax = figures.by_speed(errors, "error", axes[1], unit)

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
    smoothed[other] = compare.run(
        speed_tables.conditions_of(plan, ends, f", {other}"), label=other, **pool)
found = [result for some in smoothed.values() for result in some]
fig, (ax,) = style.panels(1, width=12, height=4)
ax = comparisons.strip(found, ax, published=False, metric="r2")

# %%
tables.show(speed_tables.parts_table(speed_tables.parts(found[len(main):])))

# %% [markdown]
# Where jumps of the tracker were replaced, the same predictions are scored here against the speed as it was recorded.
# One jump in a test trial is enough to bring R² to nothing: that is a fact about the tracker, not about the decoder.

# %%
tables.show(speed_tables.against_recorded(main[:1], chapter.dataset))

# %% [markdown]
# ## Which areas?
#
# The five groups of eight ROIs of the study (S5D and S5E), all other ROIs set to 0 in training, validation and test.
# The text says that the limb areas (FL&HL) decode speed best and gives no numbers. Simulated areas were given their
# share of what running drives, so their order is by construction. Data without groups of areas show all ROIs only. In
# the demo it is ridge regression that gets the groups, in profile *paper* the published network. A linear decoder
# cannot use a rhythm, whose mean is zero, and in the simulation that is what the limb areas have most of.

# %%
sets = roi_sets.sets_of(data)
print(sets.statement)
asked = roi_sets.conditions_of(
    experiment, sets, second, [sets.all, *sets.groups])
groups = compare.run(asked, label="groups of ROIs", **pool)

# %%
fig, axes = style.panels(2, width=13.5, height=4)
comparisons.strip(groups, axes[0], metric="r2")
comparisons.strip(groups, axes[1], metric="mae")
label = axes[1].set_ylabel(f"mean absolute error ({unit})")

# %%
tables.show(compare.table(groups, "r2"), 2)

# %%
tables.show(compare.short_tests(roi_sets.pick(groups, sets.groups), metric="r2"))

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
# first way does not.

# %%
level, levels = 0.9, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
gap_frames = round(10 * chapter.rate_hz)  # 10 s
measured, trouble = conformal.coverage(main[0].folds, levels, gap_frames)
for note in trouble:
    print(note)
tables.show(conformal.coverage_table(measured, level), 1)

# %%
height = max(3.6, 0.32 * measured["tested_on"].nunique())
fig, axes = style.panels(2, width=12, height=height)
figures.coverage(measured, axes[0])
ax = figures.coverage_by_animal(measured, level, axes[1])

# %% [markdown]
# Coverage over all frames can be right while it is wrong in running and at rest: one width for all frames is too wide
# at rest and too narrow in running, and most frames are one of the two. *Scaled* scores divide the error by the decoded
# speed plus an offset, so the interval widens where the decoder says *fast*. Compare the columns *running* and *rest*.

# %%
fold = next(fold for fold in main[0].folds if fold.fold == place[0])
fig, axes = style.stack(2, height=2.3, width=10)
for ax, score in zip(axes, conformal.SCORES, strict=True):
    _, band, _ = conformal.calibrations(fold, level, gap_frames, score)[0]
    figures.trace(main[0], place, n_frames, chapter.rate_hz, ax, unit,
                  (band, f"{100 * level:g} %, {score}"))

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
tables.show(speed_tables.notes_table([*found, *groups]))

# %% [markdown]
# ## Result card

# %%
scores = [*speed_tables.card_scores(main), *compare.card_scores(groups, "r2")]
for other in others:
    scores += speed_tables.card_scores(smoothed[other], f", {other}")
at_level = measured[measured["level"] == level]
scores += speed_tables.coverage_scores(at_level, names[0])
plans = [result.condition.experiment for result in [*found, *groups]]
failed = compare.not_evaluable([*found, *groups])
card = chapter.card(plans, failed, nulls, null_statement, scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
