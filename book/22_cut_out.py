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
# **Data** any data set with movies and a run label; by default simulated: 5 animals, 2 sessions of a minute each, 128
# x 128 pixels. In that world neurons, blood and movement all follow running, and where they do is known.
#
# **Cost** smoke: under a minute; demo, which is what the parameters below say: minutes on 2 cores, fewer after chapter
# 20, whose networks it takes; paper, 64 squares on every window of 20 folds of a recurrent network: hours of a GPU;
# not measured by us.
#
# **Reproduces** Fig 3 of Ajioka et al. 2024 (squares, mean and SD over models), S1 Fig (by mouse) and S3 Fig (two
# patches at once). **Adds** maps by session with the sessions that can have none named, discs, the pair in other
# places, a peak that is chosen on other animals, and in a simulation where the ground truth lies.

# %%
import numpy as np
from matplotlib.colors import to_rgb

from calcium_decoding.experiments import compare
from calcium_decoding.explain import occlusion, patches, shap_maps
from calcium_decoding.plotting import interactive, style
from decoding_book.chapter import start
from decoding_book.chapters import tables
from decoding_book.chapters.cut_out import figures, occlusion_tables, truth

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
drawn = {"a square": patches.squares(shape)[10],
         "a square over the edge": patches.edges(shape)[11],
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
# loses nothing that it had, and gets a red warning on every map.

# %%
decoders = chapter.decode(experiment, [model])
nulls, null_statement = compare.run_null(
    chapter.plan_images, chapter.dataset, model, seed, n_folds=null_folds, **pool)
print(null_statement)

# %%
cuts = occlusion.run(
    experiment, model, patches.squares(shape), every=test_every, **pool)
occlusion_tables.show(occlusion_tables.fold_table(cuts), cuts, nulls)

# %% [markdown]
# Importance is taken session by session and averaged, because a pooled AUC mixes two questions (chapter 20). A session
# in which the animal only runs, or only rests, has no AUC. It is in no mean, and named here:

# %%
tables.show(occlusion_tables.undefined_table(cuts))

# %% [markdown]
# ## Over models
#
# Mean and SD over all networks (Fig 3B), laid over the mean image of one animal with the outline of its brain, and of
# its areas where these are known. Red: without this place the network does worse. Blue: it does *better*, so that what
# it saw there misled it in a new animal.

# %%
animals = list(dict.fromkeys(cut.animal for cut in cuts))
found, truth_statement = truth.backdrops(chapter.dataset, animals)
fig, axes = style.panels(2, width=10, height=4)
axes = figures.models(cuts, found[animals[0]], axes, nulls, animals[0])

# %% [markdown]
# The mean again, to hover over or to touch: each cell says where it is, what it loses, and its SD over the folds.

# %%
mean, spread = occlusion_tables.mean_and_sd(cuts)
interactive.cell_map(mean, spread, found[animals[0]], figures.UNIT)

# %% [markdown]
# An SD as large as the mean says that a place matters to some networks and not to others. Brains of different animals
# also lie differently under the camera, by some pixels, and the mean over models blurs over that.
#
# ## By animal and by session
#
# The same by test animal (S1 Fig), one scale for all.

# %%
fig, axes = figures.grid(len(animals), columns=3, width=4)
axes = figures.animals(cuts, found, axes, nulls)

# %% [markdown]
# And by session. Two sessions of one animal share the network and the brain; what differs between *them* is a matter
# of which frames happened to be recorded. No difference between animals that is smaller than this should be told as
# one.

# %%
rows = occlusion_tables.session_maps(cuts)[:12]
said = shap_maps.warning(cuts, nulls)
fig, axes = figures.grid(len(rows), columns=4)
axes = figures.sessions(rows, found, axes, said)

# %% [markdown]
# ## Left and right
#
# In the study the largest cell lay in the left hemisphere, at 0.054 ± 0.045 (SD over 20 models), and its mirror image
# had 0.024 ± 0.014. The authors put the difference down to individual mice. Two remarks on that comparison before
# making it again.
#
# - Where the largest of 32 cells is picked and then compared with its mirror image *on the same folds*, it will be
#   larger even if both sides are alike. Chosen on folds that test other animals it has no such advantage.
# - Folds share animals. The SD over 20 models is not the uncertainty over five mice.
#
# Published values stand in the table where the data are the study's own. A simulated brain has the same areas on both
# sides, each driven as much as its counterpart, so that an asymmetry *here* comes from vessels, movement, the place of
# the brain in the image, or chance.

# %%
occlusion_tables.show(
    occlusion_tables.peak_table(cuts, chapter.dataset), cuts, nulls)

# %%
fig, (ax,) = style.panels(1, width=8, height=3.4)
ax = figures.sides(cuts, ax)

# %%
occlusion_tables.show(occlusion_tables.animal_table(cuts), cuts, nulls)

# %% [markdown]
# ## Two patches at once
#
# If left and right hold the same message, either can be spared, and single squares say that neither matters. So the
# study occluded two patches together, over the limb areas of both hemispheres, and the AUC fell (S3 Fig; three stars,
# no numbers). Cutting out *something* may always hurt a little. Hence the same pair in the seven other places one gets
# by moving both down in steps of the grid: same size, same shape.

# %%
pairs = occlusion.run(
    experiment, model, patches.pairs(shape), every=test_every, **pool)
fig, (ax,) = style.panels(1, width=7, height=3.8)
ax = figures.pairs(pairs, ax)

# %%
occlusion_tables.show(occlusion_tables.pair_table(pairs), pairs, nulls)

# %% [markdown]
# The rank-sum test is the study's, over folds, which are not independent; the sign flip is over test animals, and with
# so few of them its p cannot be less than the one in the next column.
#
# ## Does the shape matter?
#
# Discs of the same width, centred where the 49 inner squares are. If the map were a matter of corners, the two would
# disagree.

# %%
of_discs = chapter.plan_images(n_folds=disc_folds, say=False)
discs = occlusion.run(
    of_discs, model, patches.discs(shape), every=test_every, **pool)
occlusion_tables.show(occlusion_tables.shape_table(cuts, discs), cuts, nulls)

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
agreement = truth.agreement(cuts, found)
fig, (ax,) = style.panels(1, width=9, height=3.6)
ax = figures.landmarks(agreement, ax, said)

# %%
by_landmark = agreement.groupby("landmark", sort=False).agg(**{
    "animals": ("r", "size"), "rank correlation, mean": ("r", "mean"),
    "lowest": ("r", "min"), "highest": ("r", "max"),
    "shifts as high, mean": ("shifts as high", "mean")}).reset_index()
occlusion_tables.show(by_landmark, cuts, nulls)

# %% [markdown]
# What this implies, and what not:
#
# - The landmarks overlap: *neurons*, *blood* and *brightness* are all strong in the middle of the brain. A rank
#   correlation with one of them does not rule out another.
# - A map that correlates with *movement* or with the *edge* better than with neurons is a warning about the network, as
#   the shifts-alone control of chapter 20 is. In the default simulation running jerks the brain by half a pixel.
# - Low agreement with all of them need not be a fault of the method. Where the message is everywhere, no single place
#   is needed, and the map is flat although every place is informative.
#
# In recorded data nothing of this is known, and the map looks just as convincing.

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

# %%
tables.show(tables.not_evaluable_table(decoders))

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
scores = [*occlusion_tables.card_scores(cuts, pairs),
          *truth.card_scores(agreement)]
card = chapter.card(experiment, decoders, nulls, null_statement, scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
