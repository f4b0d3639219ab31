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
# **Adds** a simple recurrent network, the CNN frozen beside the CNN trained on, a null, tests over animals, the
# look-ahead of each window, the same images in shuffled order, and movies in which the brain moves.

# %%
import numpy as np

from calcium_decoding.experiments import compare
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting import comparisons, style
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
# that holds it. The dark ones in the figure have to be computed. Each window by itself would run the CNN 2k + 1 times;
# over a session it is run once an image. The results are the same, which a test of the library holds to a
# ten-thousandth.

# %%
fig, (ax,) = style.panels(1, width=8, height=2.6)
length = 2 * images_each_side + 1
window, image = np.indices((8, 7 + length))
held = (window <= image) & (image < window + length)
new = held & ((image == window + length - 1) | (window == 0))
ax.pcolormesh(held + 1.0 * new, cmap="Blues", vmax=2.5, edgecolors="white")
ax.set_title(f"8 windows use {held.sum()} features; {new.sum()} to compute")
ax.set(xlabel="image", ylabel="window", xticks=[], yticks=[])
axis = ax.set_ylim(8, 0)

# %% [markdown]
# When the CNN is frozen, features do not even change from epoch to epoch, network to network, or k to k: they are kept
# on disk, in half precision. In fine-tuning they change with every step, so a step takes windows in a row, which share
# their images, where the published way takes any windows.
#
# ## Which network?
#
# CNN alone, and with each recurrent network on top: Fig 2E. Same folds, same images. First the stored training:

# %%
stored = chapter.stored("networks")
fig, (ax,) = style.panels(1, width=8, height=3.8)
ax = comparisons.strip(stored, ax, published=False)

# %%
tables.show(compare.table(stored))

# %% [markdown]
# In tables a published figure is shown next to ours where ours was made the same way: the same k, and fine-tuned. On
# simulated data the two say nothing about each other.
#
# All pairs, tested as the study did (rank-sum over folds, Holm) and over animals, of folds matched by name. Folds
# share animals and training data; few folds and few animals cannot give a small p, however large the difference, and a
# p that cannot be below 0.05 is not printed. Networks whose training has not converged are not compared. On the study's
# 20 folds CNN-GRU is above CNN with p = 0.0001; GRU and LSTM differ by 0.003.

# %%
tables.show(compare.short_tests(stored))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
names = list(dict.fromkeys(["cnn", *networks.split(",")]))
as_published = names if not frozen and images_each_side == 5 else ["cnn"]
known = {name: tables.PUBLISHED.get(name) for name in as_published}
compared = compare.run([
    compare.Condition(LABELS[name], experiment, name, published=known.get(name))
    for name in names], label="networks", seeds=seeds, **pool)

# %% [markdown]
# The null: behaviour of another session of the same animal, both stages trained on that from the beginning.

# %%
nulls, null_statement = compare.run_null(
    chapter.plan_images, chapter.dataset, first, seed, n_folds=null_folds, **pool)
print(null_statement)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=8, height=3.8)
ax = comparisons.strip(
    compared, ax, nulls=nulls,
    published=None if chapter.dataset.compare_with_study else False)

# %% tags=["hide-output"]
tables.show(compare.table(compared))

# %% tags=["hide-output"]
tables.show(compare.short_tests(compared))

# %% [markdown]
# Validation loss by epoch on this page (Fig 2D): thin lines are folds, thick ones their mean, dots the epochs that were
# kept. Then means over folds, and how many folds kept which epoch. Of several seeds, the first.

# %%
trained = [fold for result in compared for fold in result.folds
           if fold.seed == seed]
losses = movie_tables.epochs(trained)
fig, (ax,) = style.panels(1, width=8, height=3.8)
for network, mine in losses.groupby("model", sort=False):
    colour, name = COLOURS[network], LABELS[network]
    kept = mine[mine["kept"]]
    by_epoch = mine.pivot(index="epoch", columns="fold", values="validation_loss")
    ax.plot(by_epoch, color=colour, lw=0.5, alpha=0.4)
    ax.plot(kept["epoch"], kept["validation_loss"], "o", color=colour, ms=3.5)
    ax.plot(by_epoch.mean(axis=1), "-", color=colour, lw=2.2, label=name)
ax.axhline(np.log(2), color=style.NULL_COLOUR, ls=":", label="always one half")
ax.xaxis.get_major_locator().set_params(integer=True)
ax.set(xlabel="epoch", ylabel="validation loss (nats a frame)")
style.legend_beside(ax)
ax = style.simulated_mark(style.warned(ax, tables.warning(trained)), trained)

# %%
tables.show(losses.groupby(["model", "epoch"], as_index=False, sort=False).agg(
    folds=("fold", "size"), training_loss=("training_loss", "mean"),
    validation_loss=("validation_loss", "mean"), kept_in=("kept", "sum")))

# %% [markdown]
# ## Does it follow the animal more smoothly?
#
# The CNN decides for each frame anew; the recurrent network has seen what comes before and after. Look for single
# frames that jump, and at the onsets: a window that reaches ahead may answer before the animal moves, and that is no
# foresight.

# %%
example = data_tour.example_of_test(experiment)
start_s = data_tour.interesting_start_s(
    example, 40, tested=experiment.split)
testing = tables.folds_testing(
    [fold for fold in trained if fold.model in ("cnn", first)], example)
fig, axes = style.stack(len(testing))
for ax, fold in zip(axes, testing, strict=True):
    style.decoded_trace(fold, example, start_s, 40, ax)

# %% [markdown]
# ## How long a window?
#
# Fig 2F: k images before and k after, on the same folds. Each window ends k + 1 frames after the labelled one, because
# the last image holds one frame more. That is what an answer in real time would have to wait for, on top of the mean
# image, which needs the session. First the stored training:

# %%
away = "images on either side of the labelled one (s)"
stored = chapter.stored("windows")
fig, (ax,) = style.panels(1, width=8, height=3.8)
ax = comparisons.curve(stored, ax, away, published=False)

# %%
tables.show(compare.table(stored))

# %%
tables.show(compare.short_tests(stored))

# %% [markdown]
# On real mice, fine-tuned, the two shortest windows were worse than 0.17 s (0.896 and 0.929 against 0.955) and longer
# ones no better (0.960). Longer windows here also mean fewer windows: k + 1 frames at each end of a session are not
# decoded. Running comes in bouts of seconds. A longer look averages more noise away, as any smoothing would; a gain is
# not evidence of anything in the *order* of the images, which has a section of its own below.
#
# The training of this page:

# %% tags=["hide-output"]
sides = {f"{int(k) / chapter.rate_hz:.2g} s each side": int(k)
         for k in windows.split(",")}
asked = {name: chapter.plan_images(
    n_folds=folds, changes={"images_each_side": k}, say=False)
    for name, k in sides.items()}
known = {name: ("image_cnn_gru_window", "EfficientNet-B0+GRU",
                f"half_window_{k}_frames") for name, k in sides.items()
         if first == "cnn_gru" and not frozen and k in (1, 2, 5, 10, 15)
         and chapter.rate_hz == 30}
swept = compare.compare(
    asked, [first], known, {name: k / chapter.rate_hz for name, k in sides.items()},
    label="windows", seeds=seeds, **pool)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=8, height=3.8)
ax = comparisons.curve(
    swept, ax, away, nulls=nulls,
    published=None if chapter.dataset.compare_with_study else False)

# %% tags=["hide-output"]
tables.show(compare.short_tests(swept))

# %%
tables.show(movie_tables.window_table([*compared, *swept]))

# %% [markdown]
# Scores of networks that have not converged stand in the table beside their cost, and are not to be compared: a longer
# window is no better or worse for them. *Passes* are runs of the CNN for one window, with each window by itself and
# with shared features. *Seconds a fold* are measured, with whatever else the machine was doing, from the beginning of a
# fold to its last test frame. The first recurrent network on a fold pays for the features, later ones find them; a fold
# read from an earlier run shows what it took then.

# %% [markdown]
# ## Does the order of the images matter?
#
# A mean over the window might do as well. So the first recurrent network is trained and tested once more on the same
# windows, in each of which the images come in a random order of its own. Everything else stays, the three frames
# within an image too. What is lost was in the order; what is not is a matter of more images. First the stored
# training:

# %%
stored = chapter.stored("order")
fig, (ax,) = style.panels(1, width=7, height=3.6)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.short_tests(stored))

# %% [markdown]
# The training of this page:

# %% tags=["hide-output"]
asked = {f"{LABELS[first]}, {name}": chapter.plan_images(
    n_folds=folds, changes={"shuffled": name == "shuffled"}, say=False)
    for name in ("in order", "shuffled")}
orders = compare.compare(asked, [first], label="order", seeds=seeds, **pool)
tables.show(compare.table(orders))

# %% tags=["hide-output"]
tables.show(compare.short_tests(orders))

# %% [markdown]
# ## Frozen or trained on?
#
# The same decoder both ways, on the same folds. First the stored training:

# %%
stored = chapter.stored("frozen or not")
fig, (ax,) = style.panels(1, width=7, height=3.6)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.short_tests(stored))

# %% [markdown]
# The training of this page:

# %% tags=["hide-output"]
ways = {f"{LABELS[first]}, {name}": chapter.plan_images(
    n_folds=other_folds, changes={"frozen": name == "frozen"}, say=False)
    for name in ("frozen", "fine-tuned")}
both = compare.compare(ways, [first], label="frozen or not", seeds=seeds, **pool)
tables.show(movie_tables.window_table(both))

# %% [markdown]
# Fine-tuning has some four million weights to move and gets no more windows for it than the recurrent network alone,
# and windows in a row at that; where there are few of them it can lose what stage 1 had learnt. So a difference of
# trainings that have converged says what each way is worth *with so much training*; where one says NOT CONVERGED, the
# two scores say nothing about freezing. The study froze its CNN in none of the figures shown.
#
# ## What if the brain moves?
#
# The arms of chapter 20: movies of the default world as they are, of a world in which running jerks the brain, and
# the latter corrected for motion. A recurrent network can follow the swing after a jerk, which one image cannot show.
# So movement may look like a gain from time: read CNN and recurrent network in pairs. First the stored training:

# %%
stored = chapter.stored("motion")
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.table(stored))

# %%
tables.show(compare.short_tests(stored[1::2]))

# %% [markdown]
# The last table has the recurrent networks of the arms. The same with the training of this page, where `motion_arms`
# asks for folds of it; the demo has none, to save time:

# %% tags=["hide-output"]
arms = []
for arm, movies in (chapter.motion_arms() if motion_arms else {}).items():
    plan = chapter.plan_images(movies, n_folds=motion_arms, say=False)
    arms += [compare.Condition(f"{arm}: {LABELS[name]}", plan, name)
             for name in ("cnn", first)]
moved = compare.run(arms, label="motion", seeds=seeds, **pool) if arms else []
tables.show(compare.table(moved))

# %% [markdown]
# ## What this does not show
#
# - **Not neurons.** All that chapter 20 says about movement and blood holds here, and more so: a recurrent network can
#   follow a swing of the brain that a single image cannot show. Correction takes out the rigid part of it.
# - **Not the published comparison**, in the demo: frozen, other initial weights, a sixteenth of the pixels, a fraction
#   of the windows, a fold of some of the animals.
# - **Not dynamics of neurons.** If order matters, what has an order may as well be blood, or the swing of the brain.
# - **Not in real time.** Windows look ahead as the table says, normalisation sees the whole session.
# - **Not independent evidence.** Folds share animals; with five animals no two-sided exact test goes below 1/16, with
#   three not below 1/4.
#
# Folds without a score, with the reason:

# %%
more = [*swept, *orders, *both, *moved]
everything = [*compared, *more]
failed = compare.not_evaluable(everything)
tables.show(tables.not_evaluable_table(failed))

# %% [markdown]
# ## Result card

# %%
scores = [
    *compare.card_scores([*movie_tables.under_models(compared), *more]),
    *movie_tables.loss_scores(losses)]
plans = [result.condition.experiment for result in everything]
card = chapter.card(
    plans, failed, nulls, null_statement, scores,
    comparisons={"networks": compared, "windows": swept, "order": orders,
                 "frozen or not": both, "motion": moved})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
