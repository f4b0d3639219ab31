# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does it help a network on images to look at the images before and after?
#
# **You will learn** how a recurrent network reads the features that a convolutional one (CNN) makes of successive
# images; whether the kind of recurrent network matters, and the length of the window; what it means to freeze the CNN
# or to train it on; and why a window of eleven images need not cost eleven times as much.
#
# **Data** any data set with movies and a run label; by default simulated: 5 animals, 2 sessions of a minute each, 128
# x 128 pixels. In that world neurons, blood and movement all follow running.
#
# **Cost** smoke: under a minute; demo, which is what the parameters below say: about 4 minutes on 2 cores; paper, the
# published training on every fold: on the study's GPU 80 minutes an epoch, which is 80 hours for one network and k;
# not measured by us.
#
# **Reproduces** Figs 2C, 2E and 2F of Ajioka et al. 2024: CNN alone, with GRU, and with LSTM; windows of five lengths.
# **Adds** a simple recurrent network, the CNN frozen beside the CNN trained on, a null, tests over animals, and the
# look-ahead of each window.

# %%
import numpy as np

from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons, style
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
networks = "cnn_gru,cnn_lstm,cnn_rnn"  # recurrent networks on images, comma between
images_each_side = 5  # images before and after the labelled one in a window
windows = "1,2,5,10,15"  # images each side in the sweep, comma between
frozen = True  # leave the network on images as it is in networks and sweep
other_folds = 1  # folds of the first network trained the other way; 0: all
rnn_every = 20  # train and validate on one window in so many
rnn_epochs = 2  # epochs over the training windows
rnn_batch = 32  # windows a step
rnn_rate = 0.002  # highest learning rate on windows
consecutive = 16  # windows in a row that share images; 1: any windows
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("21_cnn_rnn", globals(), movies=True)
experiment = chapter.plan_images(n_folds=folds)
pool = {"store": chapter.store, "jobs": jobs or None}
simulated = chapter.dataset.simulated
first = networks.split(",")[0]

# %% [markdown]
# ## Two stages
#
# Stage 1 is the CNN of chapter 20: one image, one probability. In stage 2 (Fig 2C) the same CNN makes 1280 features of
# each image of a window, k before the labelled one and k after it, and a recurrent network of two layers with 128
# units reads them in order. What it says after the last image is the answer for the middle one.
#
# Stage 2 begins with the weights of stage 1 of the same fold. There are two ways on:
#
# - **fine-tuned**, as published: CNN and recurrent network are trained together;
# - **frozen**: the CNN stays as stage 1 left it, batch normalisation included, and only the recurrent network learns.
#
# The demo freezes, because it is cheap, and fine-tunes on one fold for comparison; profile *paper* does it the other
# way round. Read every score below with that in mind: **a frozen CNN was trained to answer from one image**, and its
# features hold what it needed for that.
#
# ## One feature, many windows
#
# Successive windows share all images but one. So the features of an image are computed once and handed to every window
# that holds it. The figure shows which have to be computed. Each window by itself would run the CNN 2k + 1 times; over
# a session it is run once an image. The results are the same, which a test of the library holds to a ten-thousandth.

# %%
fig, (ax,) = style.panels(1, width=8, height=2.6)
length = 2 * images_each_side + 1
window, image = np.indices((8, 7 + length))
held = (window <= image) & (image < window + length)
new = held & ((image == window + length - 1) | (window == 0))
ax.pcolormesh(held + 1.0 * new, cmap="Blues", vmax=2.5, edgecolors="white")
ax.set(xlabel="image", ylabel="window", xticks=[], yticks=[], ylim=(8, 0),
       title=f"8 windows use {held.sum()} features; {new.sum()} to compute")

# %% [markdown]
# When the CNN is frozen, features do not even change from epoch to epoch, network to network, or k to k: they are kept
# on disk, in half precision. In fine-tuning they change with every step, so a step takes windows in a row, which share
# their images, where the published way takes any windows.
#
# ## Which network?
#
# CNN alone, and with each recurrent network on top: Fig 2E. Same folds, same images.

# %%
compared = compare.run(variants.movie_networks(
    chapter.plan_images, networks.split(","), n_folds=folds), **pool)

# %% [markdown]
# The null: behaviour of another session of the same animal, both stages trained on that from the beginning.

# %%
nulls, null_statement = compare.run_null(
    chapter.plan_images, chapter.dataset, first, seed, n_folds=null_folds, **pool)
print(null_statement)

# %%
fig, axes = style.panels(2, width=13, height=3.8)
comparisons.strip(
    compared, axes[0], nulls=nulls,
    published=None if chapter.dataset.compare_with_study else False)
trained = [fold for result in compared for fold in result.folds]
ax = movie_tables.validation_losses(trained, axes[1])

# %%
tables.show(compare.table(compared))

# %% [markdown]
# Right: validation loss by epoch (Fig 2D). In the table a published figure is shown next to ours where ours was made
# the same way: the same k, and fine-tuned. On simulated data the two say nothing about each other.
#
# All pairs, tested as the study did (rank-sum over folds, Holm) and over animals, of folds matched by name. Folds
# share animals and training data; few folds and few animals cannot give a small p, however large the difference. On
# the study's 20 folds CNN-GRU is above CNN with p = 0.0001; GRU and LSTM differ by 0.003.

# %%
tables.show(compare.short_tests(compared))

# %% [markdown]
# Losses by epoch, means over folds, and how many folds kept which epoch:

# %%
tables.show(movie_tables.epoch_table(trained))

# %% [markdown]
# ## Does it follow the animal more smoothly?
#
# The CNN decides for each frame anew; the recurrent network has seen what comes before and after. Look for single
# frames that jump, and at the onsets: a window that reaches ahead may answer before the animal moves, and that is no
# foresight.

# %%
example = data_tour.example_of_test(experiment)
start_s = data_tour.interesting_start_s(example, 40)
testing = tables.folds_testing([*compared[0].folds, *compared[1].folds], example)
fig, axes = style.stack(len(testing))
for ax, fold in zip(axes, testing, strict=True):
    style.decoded_trace(fold, example, start_s, 40, ax)

# %% [markdown]
# ## How long a window?
#
# Fig 2F: k images before and k after, on the same folds. Each window ends k + 1 frames after the labelled one, because
# the last image holds one frame more. That is what an answer in real time would have to wait for, on top of the mean
# image, which needs the session.

# %%
sides = [int(k) for k in windows.split(",")]
swept = compare.run(variants.windows(
    chapter.plan_images, sides, first, n_folds=folds), label="windows", **pool)

# %%
fig, (ax,) = style.panels(1, width=8, height=3.8)
ax = comparisons.curve(
    swept, ax, "images on either side of the labelled one (s)", nulls=nulls,
    published=None if chapter.dataset.compare_with_study else False)

# %%
tables.show(variants.window_table([*compared, *swept]))

# %% [markdown]
# *Passes* are runs of the CNN for one window, with each window by itself and with shared features. *Seconds a fold*
# are measured, with whatever else the machine was doing, from the beginning of a fold to its last test frame. The
# first recurrent network on a fold pays for the features, later ones find them; a fold read from an earlier run shows
# what it took then.

# %%
tables.show(compare.short_tests(swept))

# %% [markdown]
# On real mice, fine-tuned, the two shortest windows were worse than 0.17 s (0.896 and 0.929 against 0.955) and longer
# ones no better (0.960). Longer windows here also mean fewer windows: k + 1 frames at each end of a session are not
# decoded. Running comes in bouts of seconds. A longer look averages more noise away, as any smoothing would; the gain
# is not evidence of anything in the *order* of the images.
#
# ## Frozen or trained on?
#
# The same decoder both ways, on the same folds.

# %%
both = compare.run(variants.frozen_or_not(
    chapter.plan_images, first, n_folds=other_folds), label="frozen or not", **pool)
tables.show(variants.window_table(both))

# %% [markdown]
# With few folds this says what each way costs, and little about which is better. The study froze its CNN in none of
# the figures shown.

# %% [markdown]
# ## What this does not show
#
# - **Not neurons.** All that chapter 20 says about movement and blood holds here, and more so: a recurrent network can
#   follow a swing of the brain that a single image cannot show.
# - **Not the published comparison**, in the demo: frozen, other initial weights, a sixteenth of the pixels, a fraction
#   of the windows, a fold of some of the animals.
# - **Not dynamics.** No control here shuffles the order of the images. A mean over the window might do as well.
# - **Not in real time.** Windows look ahead as the table says, normalisation sees the whole session.
# - **Not independent evidence.** Folds share animals; with five animals no exact test goes below 1/16, with three not
#   below 1/4.
#
# Folds without a score, with the reason:

# %%
everything = [*compared, *swept, *both]
failed = compare.not_evaluable(everything)
tables.show(tables.not_evaluable_table(failed))

# %% [markdown]
# ## Result card

# %%
scores = [*compare.card_scores([*swept, *both]),
          *movie_tables.loss_scores(trained)]
plans = [result.condition.experiment for result in everything]
card = chapter.card(plans, [*trained, *compare.not_evaluable([*swept, *both])],
                    nulls, null_statement, scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
