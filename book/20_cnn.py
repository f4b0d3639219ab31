# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can running be read from the images themselves, without naming a single area?
#
# **You will learn** what a convolutional network (CNN) sees when it gets three frames of a movie as one colour image;
# how well it tells running from rest in an animal it has never seen; and how much of that score brightness, the edge
# of the brain, its vessels or its movement reach *alone*. A network on images is free to use any of them.
#
# **Data** any data set with movies and a run label; by default simulated: 5 animals, 2 sessions of a minute each, 128 x
# 128 pixels. In that world neurons, blood and movement all follow running. With `-p motion_arms 3` a second one, in
# which running jerks the brain, is decoded too.
#
# **Cost** smoke: under a minute; demo, which is what the parameters below say: about 4 minutes on 2 cores; paper, the
# published training on every fold: on the study's GPU 9 minutes an epoch, which is 9 hours; not measured by us.
#
# **Reproduces** Figs 2A, 2B and 2D of Ajioka et al. 2024, and the CNN of Fig 2E: EfficientNet on images of three
# frames, 20 folds. **Adds** the null, a decoder of the 50 ROI traces of the same recordings beside it, scores by
# session, five controls, and motion correction where the brain moves.

# %%
import numpy as np
import pandas as pd

from calcium_decoding.data import published
from calcium_decoding.evaluation import cards, convergence, metrics
from calcium_decoding.experiments import compare
from calcium_decoding.models.names import LABELS
from calcium_decoding.plotting import brain, comparisons, style
from calcium_decoding.preprocessing import confounds
from decoding_book.chapter import start
from decoding_book.chapters import data_tour, movie_tables, tables

# %% tags=["parameters"]
dataset = "simulated-movies"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
regime = "auto"  # split: auto, or a name in splits.REGIMES
n_blocks = 5  # blocks of a recording in the blocked split
weights = "lite0-offline"  # initial weights of the CNN: also imagenet, none
bin_px = 4  # pixels a side that are averaged; 1: the movie as it is
norm_momentum = 0.1  # weight of a step in running statistics of batch norms
cnn_every = 15  # train and validate on one image in so many
cnn_epochs = 3  # epochs over the training images
cnn_batch = 32  # images a step
cnn_rate = 0.002  # highest learning rate on images
folds = 3  # folds of every comparison, spread evenly; 0: all
null_folds = 1  # folds the null is refitted on, spread evenly; 0: all
motion_arms = 0  # folds of each arm of motion, spread evenly; 0: none
seeds = 1  # trainings of each condition
recipe = "auto"  # preprocessing: auto, or a recipe; of ROIs and controls
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("20_cnn", globals(), movies=True)
experiment = chapter.plan_images(n_folds=folds)
pool = {"store": chapter.store, "jobs": jobs or None}

# %% [markdown]
# The movies stay on disk; frames are read when they are asked for. The split is the one of the chapters on ROIs: each
# ordered pair of animals tests and validates once, the others train. What was audited is listed above.
#
# ## What does the network see?
#
# Three frames in a row, t − 1, t and t + 1, are the red, green and blue of one image (Fig 2A). Its label is that of
# frame t. Where the three agree the image is grey; colour is change within 67 ms. The network looks one frame, 33 ms,
# ahead.
#
# From left to right: the mean image of a test session; one image during running; its last frame less its first; and
# the mean of all running frames less that of all resting ones, which is what the task comes down to.

# %%
example = data_tour.example_of_test(experiment)
seen = movie_tables.view(experiment, example)
fig, axes = style.panels(4, width=14, height=3.4)
brain.show_image(
    seen.scaling.mean, example, axes[0], "camera counts", "mean picture")
most = np.percentile(np.abs(seen.image), 99.5)  # the rest is the end of the scale
axes[1].imshow(np.clip(0.5 + np.moveaxis(seen.image, 0, -1) / (2 * most), 0, 1))
axes[1].set_title(f"image at {seen.frame / chapter.rate_hz:.0f} s")
axes[1].set_axis_off()
style.simulated_mark(axes[1], example)
changes = {"last frame − first": seen.image[2] - seen.image[0],
           "running − rest": seen.run_less_rest}
for ax, (title, change) in zip(axes[2:], changes.items(), strict=True):
    most = np.percentile(np.abs(change), 99.5)
    brain.show_image(change, example, ax, "normalised brightness", title,
                     "RdBu_r", (-most, most))

# %% [markdown]
# Frames are normalised as in the study's code: less the mean image of the session, over **one** number, the standard
# deviation of all pixels of the session over time and space. Two things follow.
#
# - The divisor is mostly the difference between bright and dark places, as the next table shows. What changes over
#   time comes out as a few hundredths.
# - Mean and divisor are taken over the whole session, so **every image depends on frames yet to come**, minutes ahead.
#   No label is used, and no other session. Where a split lies within recordings, only training frames are used
#   instead.

# %%
tables.show(pd.DataFrame([{
    "recording": example.id, "mean": seen.scaling.mean.mean(),
    "SD of all pixels": seen.scaling.sd,
    "SD of the mean picture": seen.scaling.mean.std(),
    "SD over time, normalised": seen.sd_over_time,
    "run less rest, largest": np.abs(seen.run_less_rest).max()}]))

# %% [markdown]
# ## Train and test
#
# The network is EfficientNet-B0 with one output, or its relative Lite0 whose weights come without a hub; the line
# *network* above says which. It begins with weights learnt on photographs. Training follows the study: binary
# cross-entropy without label smoothing, Adam with weight decay, a learning rate that rises and falls once. In the demo
# pixels are averaged and one image in 15 is trained on, because neighbours are nearly the same. Every test frame is
# tested.
#
# Beside it, on the same folds, logistic regression on the ROI traces of the same recordings: the labelled frame, or a
# window of a second. It cannot see anything that the areas do not hold.

# %%
cnn = chapter.decode(experiment, ["cnn"])
of_rois = chapter.plan(n_folds=folds)
rois = chapter.decode(of_rois, ["logistic", "logistic_window"])

# %% [markdown]
# Then the null: the movie of each session with the behaviour of another session of the same animal. The network is
# trained on that from the beginning.

# %%
nulls, null_statement = compare.run_null(
    chapter.plan_images, chapter.dataset, "cnn", seed, n_folds=null_folds, **pool)
print(null_statement)

# %% [markdown]
# Left: losses by epoch (Fig 2D); a dot marks the epoch that was kept, the one with the lowest validation loss. Right:
# how well the network separates the animals it was trained on, the one that chose the epoch, and the one it never saw.

# %%
fig, axes = style.panels(2, width=10, height=3.8)
style.learning_curves(cnn, axes[0])
ax = style.roc_by_role(cnn, axes[1])

# %%
losses = movie_tables.epochs(cnn)
tables.show(losses.groupby(["model", "epoch"], as_index=False).agg(
    folds=("fold", "size"), training_loss=("training_loss", "mean"),
    validation_loss=("validation_loss", "mean"), kept_in=("kept", "sum")))

# %% [markdown]
# On the study's mice validation loss was lowest after the first epoch in 19 of 20 folds, and rose from 0.44 to 0.73 by
# the third: the network went on to overfit the training animals. Whether that happens here depends on how many
# images there are, and in a simulation on us.
#
# The same stretch of a test session, as each decoder sees it:

# %%
start_s = data_tour.interesting_start_s(
    example, 40, tested=experiment.split)
testing = tables.folds_testing([*cnn, *rois], example)
fig, axes = style.stack(len(testing))
for ax, fold in zip(axes, testing, strict=True):
    style.decoded_trace(fold, example, start_s, 40, ax)

# %% [markdown]
# ## Scores
#
# The AUC over all test frames of an animal, its sessions pooled, as published. Each dot is a fold. Folds share animals
# and training data: they are no independent tests, and 20 folds of five animals are not 20. First the stored training:

# %%
stored = chapter.stored("decoders")
fig, (ax,) = style.panels(1, width=7, height=3.8)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.table(stored))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
plans = {"cnn": experiment, "logistic": of_rois, "logistic_window": of_rois}
known = tables.PUBLISHED if chapter.dataset.compare_with_study else {}
compared = compare.run([
    compare.Condition(LABELS[name], plan, name, published=known.get(name))
    for name, plan in plans.items()], label="decoders", seeds=seeds, **pool)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=7, height=3.8)
ax = comparisons.strip(compared, ax, nulls=nulls)

# %% tags=["hide-output"]
tables.show(tables.score_table([*cnn, *rois], nulls, chapter.dataset))

# %% [markdown]
# A published figure is shown next to ours only where the data are the study's own or imitate its design. On simulated
# data the two say nothing about each other.
#
# ## By session
#
# A pooled AUC asks two things at once: are running frames above resting ones within a session, and do sessions agree
# on where *running* begins? Where a session's decoded probabilities are shifted as a whole, the pooled AUC falls and
# those of the sessions do not. Normalising each session by itself is what keeps them together.

# %%
rows = []
for fold in [fold for fold in cnn if fold.scores]:
    for session in fold.recordings:
        _, run, p_run = fold.trace(session)
        both = 0 < run.mean() < 1  # a session of running alone has no AUC
        rows.append({"tested on": fold.test_group, "session": session,
                     "AUC": metrics.auc(run, p_run) if both else np.nan,
                     "accuracy": np.mean((p_run > 0.5) == run)})
sessions = pd.DataFrame(rows, columns=["tested on", "session", "AUC", "accuracy"])

# %%
fig, (ax,) = style.panels(1, width=7, height=3.8)
pooled = cnn.table("auc").dropna(subset="value")
ax.plot(sessions["tested on"], sessions["AUC"], "o", color=style.DECODED,
        ms=5, alpha=0.6, label="one session")
ax.plot(pooled["test_group"], pooled["value"], "_", color=style.SIGNAL, ms=18,
        label="all frames of the animal, a fold")
ax.axhline(0.5, color=style.NULL_COLOUR, ls="--", lw=1, label="chance")
ax.set_ylabel("AUC")
ax.margins(x=0.2)
style.legend_beside(ax)
ax = style.simulated_mark(style.warned_of(ax, cnn), cnn)

# %% [markdown]
# Pooled: mean of the folds of an animal. By session: mean, lowest and highest over its sessions, each the mean of its
# folds.

# %%
names = ["tested on", "session"]
each = sessions.groupby(names, sort=False)[["AUC", "accuracy"]].mean().reset_index()
table = each.groupby("tested on", sort=False).agg(
    AUC_by_session=("AUC", "mean"), lowest=("AUC", "min"), highest=("AUC", "max"),
    sessions=("session", "size"), with_AUC=("AUC", "count"),
    accuracy=("accuracy", "mean"))
table.insert(0, "AUC, pooled", pooled.groupby("test_group")["value"].mean())
if chapter.dataset.compare_with_study:
    theirs = published.table("per_session_cnn").pivot_table(
        "value", "test_mouse", ["experiment", "metric"])["image_cnn_stage1"]
    mice = [1 + chapter.dataset.animals.index(animal) for animal in table.index]
    for score in ("auc", "accuracy"):
        table[f"published {score}, by session"] = theirs[score][mice].to_numpy()
tables.show(table.reset_index())

# %% [markdown]
# What an AUC does not say: whether one half is a good threshold for a new animal (balanced accuracy), how often *run*
# is right where it is said (average precision, whose floor is the share of running), and whether the probabilities can
# be taken at their word (Brier score, lower is better; the last column is what saying the animal's own share always
# gives).

# %%
wanted = ["auc", "balanced_accuracy", "accuracy", "average_precision",
          "run_share", "brier"]
frames = cnn.table().pivot_table("value", "test_group", "metric", sort=False)
frames = frames.reindex(columns=wanted)
frames["brier, share only"] = frames["run_share"] * (1 - frames["run_share"])
tables.show(frames.reset_index())

# %% [markdown]
# ## What else could it be?
#
# A running mouse moves its brain under the camera by a fraction of a pixel, and blood follows. Both change the
# image, at edges and vessels most, and neither is a neuron. A network that gets the whole image is welcome to
# them, and a high AUC does not say which it took. So each is taken out of the movie as a few numbers a frame, and
# decoded **alone**, on the same folds, by logistic regression on the same second that the ROI decoder gets. They are
# changes from the session's mean and nothing else is subtracted, as the network's own frames are:
#
# - **global mean**: the brightness of the whole image;
# - **edge**: brightness along the border of the brain, by sector;
# - **vessels**: brightness of large vessels, by sector; and **vessel contrast**, that less the tissue beside them;
# - **shifts**: how far the image lies from its mean place, down and right, and the distance.

# %%
control_sets = confounds.control_datasets(chapter.dataset, chapter.store)
alone = {name: chapter.plan(each, n_folds=folds, recipe="raw", say=False)
         for name, each in control_sets.items()}
found = compare.compare(alone, ["logistic_window"], label="controls", **pool)

# %%
fig, (ax,) = style.panels(1, width=9, height=3.6)
ax = comparisons.strip(found, ax, nulls=nulls)

# %%
network = dict(zip(pooled["fold"], pooled["value"], strict=True))
said = convergence.marked(convergence.not_converged(cnn))
shares = {}
for result in found if not said else ():  # of a network that is not done: nothing
    of_folds, _ = confounds.explained(result.values("auc"), network)
    shares[result.name] = list(of_folds.values())
fig, (ax,) = style.panels(1, width=9, height=3.6 if shares else 1.2)
if shares:
    style.dots(shares, ax)
    ax.axhline(1, color=style.NULL_COLOUR, ls=":", label="as good as the network")
    ax.axhline(0, color=style.NULL_COLOUR, ls="--", lw=1, label="chance")
    ax.set_ylabel("share of the score reached\n(a dot is a fold)")
    style.legend_beside(ax)
else:
    style.nothing(ax, f"{said}: no share is given")
ax = style.simulated_mark(ax, cnn)

# %%
tables.show(compare.table(found) if said else confounds.control_table(
    cnn, {r.name: r.folds for r in found}))

# %% [markdown]
# *Share explained* is (AUC of the control − 0.5) over (AUC of the network − 0.5), fold by fold; of a network that has
# not converged none is given, and the table has the controls alone. Read it with care, in both directions.
#
# - It is **what the control reaches by itself, not what the network used**. Shares do not add up: the indicator is
#   part of the mean brightness, shines at the edge and through vessels.
# - It is a ratio of two scores and can exceed 1. The control is then the better decoder of the two: the network was
#   not able, or not trained long enough, to find what a few numbers a frame hold. A share says nothing there.
# - The controls get a second of frames, the network three. With its 67 ms the network cannot follow a swing of the
#   brain, only where it is just now. A control with one frame only stands in the next table.
# - Where *shifts alone* come near the network, **its score may be movement**, and is no evidence of neurons. How much
#   running moves the brain was chosen in a simulation; the next section is about a world with more of it.

# %%
at_once = compare.compare(alone, ["logistic"], label="controls", **pool)
tables.show(compare.table(at_once) if said else confounds.control_table(
    cnn, {r.name: r.folds for r in at_once}))

# %% [markdown]
# We know of no such control in the study. What would settle it is a channel that neurons do not change, such as light
# at a wavelength at which the indicator's brightness does not depend on calcium. Next best: correct the movies for
# motion, and look again.
#
# ## What if the brain moves?
#
# Three arms of simulated movies. *As it is*: the default world, in which the brain sways by itself, at rest too, and
# a run begins with a jerk of about a fifth of a pixel. *Motion*: the same neurons, blood and behaviour, but the jerk
# is half a pixel, and at rest the brain lies still, so that nothing hides it. *Motion, corrected*: those movies after
# **motion correction**. Each frame is registered to the mean image of its session by cross-correlation, to hundredths
# of a pixel, and moved back in the Fourier domain, which blurs nothing; all of that three times. Of data without such
# a world there are two arms: as they are, and corrected.
#
# In each arm the CNN is trained anew, and so is a decoder of the shifts alone, measured anew in the corrected movies.
# First the stored training:

# %%
stored = chapter.stored("motion")
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.table(stored))

# %% [markdown]
# The CNN of each arm against those of the others, and then the shifts:

# %%
tables.show(compare.short_tests(stored[::2]))

# %%
tables.show(compare.short_tests(stored[1::2]))

# %% [markdown]
# How to read it:
#
# - **Shifts alone** say how much of running lies in movement. After correction the same registration should find
#   nothing that tells; where it does, the correction is not complete. That it finds nothing is no proof that nothing is
#   left: the library's tests compare what is left with known shifts and with another library.
# - **A CNN that falls with the correction used movement.** One that does not fall may have used it all the same, where
#   brightness says as much.
# - What is left after correction is **not neurons for that reason**: blood stays, and so does all movement that is not
#   rigid or leaves the plane of focus. Simulated movement is rigid, and so can be taken out better than any real one.
#
# The same with the training of this page, where `motion_arms` asks for folds of it; the demo has none, to save time:

# %% tags=["hide-output"]
arms = []
for arm, data in (chapter.motion_arms() if motion_arms else {}).items():
    shifts = confounds.control_datasets(data, chapter.store)["shifts"]
    some = {"n_folds": motion_arms, "say": False}
    of_images = chapter.plan_images(data, **some)
    of_shifts = chapter.plan(shifts, recipe="raw", **some)
    arms += [
        compare.Condition(f"{arm}: CNN", of_images, "cnn"),
        compare.Condition(f"{arm}: shifts alone", of_shifts, "logistic_window")]
moved = compare.run(arms, label="motion", seeds=seeds, **pool) if arms else []
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(moved, ax)

# %% tags=["hide-output"]
tables.show(compare.table(moved))

# %% [markdown]
# ## What this does not show
#
# - **Not neurons**, even where movement is corrected. See above. A decoder of images decodes whatever the images hold.
# - **Not better or worse than ROIs.** The network sees three frames, the ROI window 31; one is trained on one image in
#   15 in the demo, the other on all windows. Chapter 21 gives the network time.
# - **Not in real time.** Mean image and divisor need the whole session.
# - **Not more than these animals.** Five animals allow no claim finer than five numbers.
# - **Not the published network**, in the demo: other weights, a sixteenth of the pixels, fewer steps.
# - **One draw of the null** tells gross leaks. It gives no p-value.
#
# Folds without a score, with the reason, and sessions in which an animal only runs or only rests, which have no AUC of
# their own:

# %%
failed = [fold for result in [*found, *at_once] for fold in result.folds]
tables.show(tables.not_evaluable_table([*cnn, *rois, *failed]))

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
scores = movie_tables.loss_scores(losses)
for control, of_folds in shares.items():
    if of_folds:
        scores += cards.summarise(control, of_folds, "share_explained")
scores += compare.card_scores([*found, *moved])
plans = [experiment, of_rois,
         *(result.condition.experiment for result in [*found, *moved])]
card = chapter.card(
    plans, [*cnn, *rois, *compare.not_evaluable([*found, *moved])],
    nulls, null_statement, scores,
    comparisons={"decoders": compared, "motion": moved})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
