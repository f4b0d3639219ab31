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
# **Data** any data set with movies and a run label; by default simulated: 5 animals, 2 sessions of a minute each, 128
# x 128 pixels. In that world neurons, blood and movement all follow running.
#
# **Cost** smoke: under a minute; demo, which is what the parameters below say: about 4 minutes on 2 cores; paper, the
# published training on every fold: on the study's GPU 9 minutes an epoch, which is 9 hours; not measured by us.
#
# **Reproduces** Figs 2A, 2B and 2D of Ajioka et al. 2024, and the CNN of Fig 2E: EfficientNet on images of three
# frames, 20 folds. **Adds** the null, a decoder of the 50 ROI traces of the same recordings beside it, scores by
# session, and five controls.

# %%
import numpy as np
import pandas as pd

from calcium_decoding.experiments import compare
from calcium_decoding.plotting import brain, comparisons, style
from calcium_decoding.preprocessing import confounds
from decoding_book.chapter import start
from decoding_book.chapters import data_tour, movie_tables, tables, variants

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
simulated = chapter.dataset.simulated

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
title = f"image at {seen.frame / chapter.rate_hz:.0f} s"
movie_tables.colour_image(seen.image, example, axes[1], title)
movie_tables.change(
    seen.image[2] - seen.image[0], example, axes[2], "last frame − first")
ax = movie_tables.change(
    seen.run_less_rest, example, axes[3], "running − rest")

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
change = seen.run_less_rest
tables.show(pd.DataFrame([{
    "recording": example.id, "mean": seen.scaling.mean.mean(),
    "SD of all pixels": seen.scaling.sd,
    "SD of the mean picture": seen.scaling.mean.std(),
    "SD over time, normalised": seen.sd_over_time,
    "run less rest, largest": None if change is None else np.abs(change).max()}]))

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
tables.show(movie_tables.epoch_table(cnn))

# %% [markdown]
# On the study's mice validation loss was lowest after the first epoch in 19 of 20 folds, and rose from 0.44 to 0.73 by
# the third: the network went on to overfit the training animals. Whether that happens here depends on how many
# images there are, and in a simulation on us.
#
# The same stretch of a test session, as each decoder sees it:

# %%
start_s = data_tour.interesting_start_s(example, 40)
testing = tables.folds_testing([*cnn, *rois], example)
fig, axes = style.stack(len(testing))
for ax, fold in zip(axes, testing, strict=True):
    style.decoded_trace(fold, example, start_s, 40, ax)

# %% [markdown]
# ## Scores
#
# The AUC over all test frames of an animal, its sessions pooled, as published. Each dot is a fold. Folds share animals
# and training data: they are no independent tests, and 20 folds of five animals are not 20.

# %%
fig, (ax,) = style.panels(1, width=7, height=4)
published = tables.published_scores(experiment)
ax = style.fold_scores([*cnn, *rois], nulls, ax, published)

# %%
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
fig, (ax,) = style.panels(1, width=7, height=3.8)
ax = movie_tables.sessions(cnn, ax)

# %%
tables.show(movie_tables.session_table(cnn, chapter.dataset))

# %% [markdown]
# What an AUC does not say: whether one half is a good threshold for a new animal (balanced accuracy), how often *run*
# is right where it is said (average precision, whose floor is the share of running), and whether the probabilities can
# be taken at their word (Brier score, lower is better; the last column is what saying the animal's own share always
# gives).

# %%
tables.show(movie_tables.frame_table(cnn))

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
alone = variants.controls(
    chapter.plan, control_sets, "logistic_window", n_folds=folds, recipe="raw")
found = compare.run(alone, label="controls", **pool)

# %%
fig, (ax,) = style.panels(1, width=9, height=3.6)
ax = comparisons.strip(found, ax, nulls=nulls)

# %%
controls = {result.name: result.folds for result in found}
fig, (ax,) = style.panels(1, width=9, height=3.6)
ax = movie_tables.shares(cnn, controls, ax)

# %%
tables.show(confounds.control_table(cnn, controls))

# %% [markdown]
# *Share explained* is (AUC of the control − 0.5) over (AUC of the network − 0.5), fold by fold. Read it with care, in
# both directions.
#
# - It is **what the control reaches by itself, not what the network used**. Shares do not add up: the indicator is
#   part of the mean brightness, shines at the edge and through vessels.
# - The controls get a second of frames, the network three. With its 67 ms the network cannot follow a swing of the
#   brain, only where it is just now. A control with one frame only stands in the next table; there the distance
#   matters most.
# - Where *shifts alone* come near the network, **its score may be movement**. In the default simulation they do:
#   running jerks the brain by half a pixel and keeps it trembling, on purpose. There, and in any
#   recording where this table looks like that, the CNN's score is no evidence of neurons.

# %%
at_once = compare.run(variants.controls(
    chapter.plan, control_sets, "logistic", n_folds=folds, recipe="raw"),
    label="controls", **pool)
tables.show(confounds.control_table(cnn, {r.name: r.folds for r in at_once}))

# %% [markdown]
# We know of no such control in the study. What would settle it is a channel that neurons do not change, such as light
# at a wavelength at which the indicator's brightness does not depend on calcium. Next best: register the frames, and
# look again.

# %% [markdown]
# ## What this does not show
#
# - **Not neurons.** See above. A decoder of images decodes whatever the images hold.
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
scores = [*movie_tables.loss_scores(cnn),
          *movie_tables.explained_scores(cnn, controls),
          *compare.card_scores(found)]
plans = [experiment, of_rois, *(result.condition.experiment for result in found)]
card = chapter.card(plans, [*cnn, *rois, *compare.not_evaluable(found)],
                    nulls, null_statement, scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
