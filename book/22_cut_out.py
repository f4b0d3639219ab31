# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which places in the image does the network need?
#
# **You will learn** how to ask a trained network what it cannot do without: cut a square out of every frame, test
# again, and see what is lost; how 64 overlapping squares make a map; what such a map says, and the several things it
# only seems to say.
#
# **Data** any data set with movies and a run label; by default simulated: 5 animals, 2 sessions of a minute each, 128 x
# 128 pixels. In that world neurons, blood and movement all follow running, and where they do is known. With `-p
# motion_arms 3` a second one, in which running jerks the brain, is mapped too.
#
# **Cost** smoke: under a minute; demo, which is what the parameters below say: minutes on 2 cores, fewer after chapter
# 20, whose networks it takes; paper, 64 squares on every window of 20 folds of a recurrent network: hours of a GPU;
# not measured by us.
#
# **Reproduces** Fig 3 of Ajioka et al. 2024 (squares, mean and SD over models), S1 Fig (by mouse) and S3 Fig (two
# patches at once). **Adds** maps by session with the sessions that can have none named, discs, the pair in other
# places, a peak that is chosen on other animals, in a simulation where the ground truth lies, and what becomes of the
# map where the brain moves and where movies are corrected for that.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from calcium_decoding.data import published
from calcium_decoding.evaluation import statistics
from calcium_decoding.experiments import compare
from calcium_decoding.explain import occlusion, patches, shap_maps
from calcium_decoding.plotting import comparisons, interactive, style
from decoding_book.chapter import start
from decoding_book.chapters import cut_out, tables

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
model = "cnn"  # decoder of images: cnn, cnn_gru, cnn_lstm, cnn_rnn
test_every = 10  # test on one window in so many; 1: all
disc_folds = 1  # folds in which discs are occluded too, spread evenly; 0: all
images_each_side = 5  # images before and after the labelled one in a window
frozen = True  # leave the network on images as it is under recurrent ones
rnn_every = 5  # train and validate on one window in so many
rnn_epochs = 3  # epochs over the training windows
rnn_batch = 32  # windows a step
rnn_rate = 0.002  # highest learning rate on windows
consecutive = 16  # windows in a row that share images; 1: any windows
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("22_cut_out", globals(), movies=True)
experiment = chapter.plan_images(n_folds=folds)
pool = {"store": chapter.store, "jobs": jobs or None}
shape = experiment.input.image_shape(chapter.dataset)

# %% [markdown]
# ## Cutting out
#
# The network is trained on whole images and stays as it is. In the test animal's movie a square is set to zero in
# all frames, *after* they were normalised: zero is each pixel's own mean, so that what is left there is an image in
# which nothing ever happens. The **importance** of the square is the AUC of whole images less the AUC without it.
#
# A square is a quarter of the image high and wide and moves in steps of an eighth. What leaves on one side comes in
# on the other (a torus), so that there are 64 squares and each of the 8 x 8 **cells** of the grid lies in exactly four.
# The map gives each cell the mean of its four. It is therefore smoother than any truth: a single important spot
# spreads over three cells by three.

# %%
fig, (ax,) = style.panels(1, width=7, height=3.6)
drawn = {"a square": patches.squares(shape)[8],
         "a square over the edge": patches.squares(shape)[60],
         "a disc": patches.discs(shape)[24],
         "the pair of S3 Fig": patches.limb_pair(shape)}
picture = np.ones((*shape, 3))
for i, (name, cut) in enumerate(drawn.items()):
    colour = np.array(to_rgb(f"C{i}"))
    picture[cut.mask] = 0.5 * picture[cut.mask] + 0.5 * colour
    ax.plot([], [], "s", color=colour, label=name)
ax.imshow(picture)
borders = np.arange(1, patches.GRID) / patches.GRID
ax.vlines(borders * shape[1] - 0.5, -0.5, shape[0] - 0.5, color="grey", lw=0.4)
ax.hlines(borders * shape[0] - 0.5, -0.5, shape[1] - 0.5, color="grey", lw=0.4)
ax.set(title="pieces, and the grid of 8 x 8 cells",
       xlabel="column (pixels)", ylabel="row (pixels)")
style.legend_beside(ax)

# %% [markdown]
# Networks are those of chapter 20 where the parameters are the same; they are read and not trained again. Beside them
# stand networks trained on permuted sessions, the null: a decoder that is not above chance, or not above that null,
# loses nothing that it had, and gets a red warning on every map. AUCs are of one test window in so many (parameter
# `test_every`), so that they differ a little from those of the same networks in chapter 20.

# %%
decoders = chapter.decode(experiment, [model])
nulls, null_statement = compare.run_null(
    chapter.plan_images, chapter.dataset, model, seed, n_folds=null_folds, **pool)
print(null_statement)

# %%
cuts = occlusion.run(
    experiment, model, patches.squares(shape), every=test_every, **pool)
known = cut_out.usable(cuts)
tested = np.array([cut.animal for cut in known])
maps = patches.cell_map([cut.importance for cut in known])  # (fold, row, column)
said = shap_maps.warning(cuts, nulls)

# %%
tables.show(pd.DataFrame({
    "fold": [cut.fold for cut in known], "AUC, pooled": [cut.auc for cut in known],
    "AUC, by session": [np.mean(list(cut.base.values())) for cut in known],
    "largest cell": [cut_out.largest(cells) for cells in maps],
    "its importance": maps.max(axis=(1, 2)),
    "left less right": cut_out.left_less_right(maps),
    "sessions without AUC": [", ".join(cut.undefined) for cut in known],
}), said=said)

# %% [markdown]
# Importance is taken session by session and averaged, because a pooled AUC mixes two questions (chapter 20). A session
# in which the animal only runs, or only rests, has no AUC. It is in no mean, and named here:

# %%
without = {(cut.animal, session): why for cut in cuts
           for session, why in cut.undefined.items()}
tables.show(pd.DataFrame([(*place, why) for place, why in without.items()],
                         columns=["animal", "session", "no AUC because"]))

# %% [markdown]
# ## Over models
#
# Mean and SD over all networks (Fig 3B), laid over the mean image of one animal with the outline of its brain, and of
# its areas where these are known. Red: without this place the network does worse. Blue: it does *better*, so that what
# it saw there misled it in a new animal.

# %%
animals = list(dict.fromkeys(cut.animal for cut in cuts))
found, truth_statement = cut_out.backdrops(chapter.dataset, animals)
mean, spread = maps.mean(axis=0), None
if len(maps) > 1:
    spread = maps.std(axis=0, ddof=1)
most = np.abs(mean).max()
fig, axes = style.panels(2, width=10, height=4)
title = f"mean of {len(maps)} models, on {animals[0]}"
cut_out.overlay(mean, found[animals[0]], axes[0], title, (-most, most), said)
ax = cut_out.overlay(
    spread, found[animals[0]], axes[1], "SD over models", (0, None), said,
    "SD of importance", "viridis")

# %% [markdown]
# The mean again, to hover over or to touch: each cell says where it is, what it loses, and its SD over the folds.

# %%
interactive.cell_map(mean, spread, found[animals[0]], cut_out.UNIT, said)

# %% [markdown]
# An SD as large as the mean says that a place matters to some networks and not to others. Brains of different animals
# also lie differently under the camera, by some pixels, and the mean over models blurs over that.
#
# ## By animal and by session
#
# The same by test animal (S1 Fig), one scale for all.

# %%
by_animal = {animal: maps[tested == animal].mean(axis=0)
             for animal in dict.fromkeys(tested)}
most = np.abs(list(by_animal.values())).max()
n_rows = -(-len(animals) // 3)
fig = plt.figure(figsize=(12, 3.3 * n_rows))
for i, animal in enumerate(animals, start=1):
    ax = fig.add_subplot(n_rows, 3, i)
    title = f"{animal}, folds: {np.sum(tested == animal)}"
    cut_out.overlay(by_animal.get(animal), found[animal], ax, title, (-most, most),
                    said)

# %% [markdown]
# And by session. Two sessions of one animal share the network and the brain; what differs between *them* is a matter
# of which frames happened to be recorded. No difference between animals that is smaller than this should be told as
# one.

# %%
of_folds = {}
for cut in known:
    for session, drops in cut.by_session.items():
        cells = patches.cell_map(drops)
        of_folds.setdefault((cut.animal, session), []).append(cells)
by_session = {place: np.mean(some, axis=0) for place, some in of_folds.items()}

# %%
most = np.abs(list(by_session.values())).max()
shown = sorted(without | by_session)[:12]
n_rows = -(-len(shown) // 4)
fig = plt.figure(figsize=(13.6, 3.3 * n_rows))
for i, (animal, session) in enumerate(shown, start=1):
    ax = fig.add_subplot(n_rows, 4, i)
    cells, title = by_session.get((animal, session)), session.replace("/", "\n")
    if cells is None:
        title += f"\nno AUC: {without[animal, session]}"
    cut_out.overlay(cells, found[animal], ax, title, (-most, most), said, size=8)

# %% [markdown]
# ## Left and right
#
# In the study the largest cell lay in the left hemisphere, at 0.054 ± 0.045 (SD over 20 models), and its mirror image
# had 0.024 ± 0.014. The authors put the difference down to individual mice. Two remarks on that comparison before
# making it again.
#
# - Where the largest of 32 cells is picked and then compared with its mirror image *on the same folds*, it tends
#   to come out larger even if both sides are alike. Chosen on folds that test other animals it has no such advantage.
# - Folds share animals. The SD over 20 models is not the uncertainty over five mice.
#
# In the table *right* is the mirror image of the cell. Published values stand there where the data are the study's
# own. A simulated brain has the same areas on both sides, each driven as much as its counterpart, so that an
# asymmetry *here* comes from vessels, movement, the place of the brain in the image, or chance.

# %%
rows = []
for chosen_on in ("the same folds, as published", "folds that test other animals"):
    elsewhere = "other" in chosen_on
    peaks = cut_out.peaks(maps, tested, elsewhere)
    row = {"cell chosen on": chosen_on, "cell": "; ".join(peaks["cell"].unique())}
    for side in ("left", "right"):
        row[f"{side}, mean"], row[f"{side}, SD"] = peaks[side].agg(["mean", "std"])
        if chapter.dataset.compare_with_study:
            theirs = published.reported("cutout", "EfficientNet-B0+GRU",
                                        f"{side}_peak_cell", "importance")
            beside = "" if elsewhere else "{:.3f} ± {:.3f}".format(*theirs)
            row[f"{side}, published"] = beside
    row |= {"folds": len(peaks), "animals": peaks["animal"].nunique()}
    rows.append(row)
tables.show(pd.DataFrame(rows), said=said)

# %%
sides = {animal: cut_out.left_less_right(maps[tested == animal])
         for animal in by_animal}
fig, (ax,) = style.panels(1, width=8, height=3.4)
style.dots(sides, ax, bar="mean of its folds")
ax.axhline(0, color=style.NULL_COLOUR, ls="--", lw=1, label="both sides alike")
ax.set_ylabel("importance, left less right")
style.legend_beside(ax)
ax = style.simulated_mark(style.warned(ax, said), cuts)

# %%
tables.show(pd.DataFrame([{
    "tested on": animal, "folds": len(sides[animal]),
    "largest cell": cut_out.largest(cells), "its importance": cells.max(),
    "mirrored": cells[:, ::-1].flat[cells.argmax()],
    "left less right": cut_out.left_less_right(cells)}
    for animal, cells in by_animal.items()]), said=said)

# %% [markdown]
# ## Two patches at once
#
# If left and right hold the same message, either can be spared, and single squares say that neither matters. So the
# study occluded two patches together, over the limb areas of both hemispheres, and the AUC fell (S3 Fig; three stars,
# no numbers). Cutting out *something* may always hurt a little. Hence the same pair in the seven other places one gets
# by moving both down in steps of the grid: same size, same shape.

# %%
pairs = cut_out.usable(occlusion.run(
    experiment, model, patches.pairs(shape), every=test_every, **pool))
whole = np.array([cut.auc for cut in pairs])
losses = np.array([cut.pooled for cut in pairs])  # (fold, place)
without_pair = whole[:, None] - losses
fig, (ax,) = style.panels(1, width=7, height=3.8)
ax.plot([0, 1], [whole, without_pair[:, 0]], "o-", color=style.DECODED, ms=4,
        lw=0.8, alpha=0.7, label="a fold")
ax.plot([2] * 7, without_pair[:, 1:].T, ".", color=style.NULL_COLOUR, ms=4,
        alpha=0.6, label="a fold and place")
ax.axhline(0.5, color=style.NULL_COLOUR, ls="--", lw=1, label="chance")
ax.set_xticks(range(3), ["whole\npicture", "without\nthe pair",
                         "without the\npair elsewhere"])
ax.set(ylabel="AUC", xlim=(-0.4, 2.4))
style.legend_beside(ax)
ax = style.simulated_mark(style.warned(ax, said), pairs)

# %%
loss, places = losses[:, 0], losses.mean(axis=0)
row = {"folds": len(loss), "whole picture": whole.mean(),
       "pair cut out": without_pair[:, 0].mean(), "loss": loss.mean(),
       "SD of loss": pd.Series(loss).std()}
row |= {"mean loss in the other 7 places": places[1:].mean(),
        "places with as large a loss": np.sum(places[1:] >= places[0])}
tables.show(pd.DataFrame([row]), said=said)

# %%
over_animals = statistics.by_animal(loss, [cut.animal for cut in pairs])
if said or len(over_animals) < 2:
    print(f"no test: {said or 'one animal only'}")
else:
    if statistics.least_rank_sum(len(loss), len(loss)) < statistics.ALPHA:
        p = statistics.rank_sum(whole, without_pair[:, 0])
        print(f"rank sum over folds: p = {p:.2g}")
    interval = statistics.t_interval(over_animals, (-1, 1))
    print(f"loss over animals: {statistics.sign_flip(over_animals, 'greater')}")
    print(f"95 % interval {interval.low:+.3f} to {interval.high:+.3f}")

# %% [markdown]
# The rank-sum test is the study's, over folds, which are not independent; it is left out where so few folds cannot give
# a p below 0.05. The sign flip is over test animals, and one-sided: that the network needs the limb areas is the
# hypothesis, so the loss should be above 0.
#
# ## Does the shape matter?
#
# Discs of the same width, centred where the 49 inner squares are. If the map were a matter of corners, the two would
# disagree. A disc has 0.79 of the area of a square.

# %%
of_discs = chapter.plan_images(n_folds=disc_folds, say=False)
discs = occlusion.run(
    of_discs, model, patches.discs(shape), every=test_every, **pool)
squares, rows = {cut.fold: cut.importance for cut in known}, []
for disc in [disc for disc in discs if not disc.reason and disc.fold in squares]:
    inner = squares[disc.fold][: len(disc.importance)]  # of the same centres
    both = pd.DataFrame({"squares": inner, "discs": disc.importance})
    rows.append({"fold": disc.fold, "places": len(both),
                 "rank correlation": both.corr("spearman").loc["squares", "discs"],
                 **both.mean().add_suffix(", mean"),
                 **both.max().add_suffix(", largest")})
tables.show(pd.DataFrame(rows), said=said)

# %% [markdown]
# ## What lies at these places?
#
# Each landmark is looked at through the same 64 squares, and ranked against the map of the same animal: brightness,
# the edge of the brain, its large vessels. In a simulation also the ground truth, pixel by pixel: how much running
# moves the image through neurons, through blood, and by shifting the brain.
#
# The last column moves the landmark around the torus to all 64 places and counts how often it fits as well: smooth
# images with a bright middle resemble each other by themselves.

# %%
print(truth_statement)
agreement = cut_out.agreement(by_animal, found)
groups = {name: mine["r"]
          for name, mine in agreement.groupby("landmark", sort=False)}
fig, (ax,) = style.panels(1, width=9, height=3.6)
style.dots(groups, ax, "an animal", "mean over animals")
ax.axhline(0, color=style.NULL_COLOUR, ls="--", lw=1, label="no relation")
ax.set(ylabel="rank correlation of the map\nwith it, over 64 cells", ylim=(-1, 1))
style.legend_beside(ax)
ax = style.simulated_mark(style.warned(ax, said), cuts)

# %%
by_landmark = agreement.groupby("landmark", sort=False).agg(**{
    "animals": ("r", "size"), "rank correlation, mean": ("r", "mean"),
    "lowest": ("r", "min"), "highest": ("r", "max"),
    "shifts as high, mean": ("shifts as high", "mean")}).reset_index()
tables.show(by_landmark, said=said)

# %%
print(cut_out.answer(agreement, said))

# %% [markdown]
# What this implies, and what not:
#
# - The landmarks overlap: *neurons*, *blood* and *brightness* are all strong in the middle of the brain. A rank
#   correlation with one of them does not rule out another.
# - A map that correlates with *movement* or with the *edge* better than with neurons is a warning about the network. So
#   is a decoder of the shifts alone that comes near the network's score (chapter 20).
# - Low agreement with all of them need not be a fault of the method. Where the message is everywhere, no single place
#   is needed, and the map is flat although every place is informative.
#
# In recorded data nothing of this is known, and the map looks just as convincing.
#
# ## What does the map follow where the brain moves?
#
# The arms of chapter 20: movies of the default world as they are; of a world with the same neurons, in which running
# jerks the brain; and the latter corrected for motion. In each the map of every fold is ranked against the landmarks
# of its test animal, as above. *Movement, planted* is in the third arm what has been taken out. First the stored
# training:

# %%
stored = chapter.stored("motion")
planted = cut_out.measured(stored)[-3:]  # neurons, blood, movement
fig, axes = style.panels(3, width=13, height=3.6)
for ax, landmark in zip(axes, planted, strict=False):
    comparisons.strip(stored, ax, metric=landmark)
    ax.axhline(0, color=style.NULL_COLOUR, ls="--", lw=1)
    ax.set(title=landmark, ylabel="rank correlation", ylim=(-1, 1))
    if ax is not axes[-1]:
        ax.get_legend().remove()
for ax in axes[len(planted):]:
    comparisons.strip([], ax)  # no figure where nothing is stored

# %%
tables.show(cut_out.followed(stored), 2)

# %% [markdown]
# The last column names the landmark that the map goes with most, on average over folds, unless the decoders are not
# above chance. If it changes from arm to arm, so does what the *same method* says of the *same neurons*: a map is one
# of the movie with all that is in it. The same with the training of this page, where `motion_arms` asks for folds of
# it; the demo has none, to save time:

# %% tags=["hide-output"]
arms = {arm: chapter.plan_images(movies, n_folds=motion_arms, say=False)
        for arm, movies in (chapter.motion_arms() if motion_arms else {}).items()}
moved = cut_out.of_arms(arms, model, test_every, seeds, **pool) if arms else []
tables.show(cut_out.followed(moved), 2)

# %% [markdown]
# ## What this does not show
#
# - **Not where the information is.** Only what *this* network cannot do without. A place whose message is repeated
#   elsewhere has no importance; two places that are each useless alone may matter together.
# - **Not neurons.** Squares hold cortex, vessels, blood and edges; movement of the whole image is seen in each.
# - **Not what a network would do that never saw the place.** It was not trained without it. A zero square is also an
#   image it has never seen, with borders of its own; some of the loss is mere surprise.
# - **Not more than these animals**, and maps of folds that share animals are alike for that reason alone.
# - **Not the published map**, in the demo: another network, a sixteenth of the pixels, fewer windows.
#
# Folds without a score, with the reason:

# %%
tables.show(tables.not_evaluable_table([*decoders, *cuts]))

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
scores = cut_out.card_scores(known, pairs, agreement)
scores += compare.card_scores(moved)
for landmark in cut_out.measured(moved):
    scores += compare.card_scores(moved, landmark)
card = chapter.card([experiment, *arms.values()], decoders, nulls, null_statement,
                    scores, comparisons={"motion": moved})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
