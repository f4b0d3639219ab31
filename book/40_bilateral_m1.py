# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can the steps of both forelimbs be read from the motor cortex of one side?
#
# **You will learn** what a network of convolutions, a bidirectional LSTM and self-attention decodes from some hundred
# cells of one motor cortex; whether it beats simpler decoders on the same frames; what noise, cells and training time
# do to it; how a decoder gets to an animal whose cells it has never seen; and in which cells the information sits.
#
# **Data** any data set with a label of footsteps (0 none, 1 contralateral, 2 ipsilateral); movement of both paws
# where it is known. By default simulated: 4 animals, 400 to 600 cells each, deconvolved traces at 15 Hz, truth known.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: a small network on part of the data,
# minutes on 2 cores; paper, the settings of the study's code with 5 seeds and 5 test blocks: days on 2 cores.
#
# **Reproduces** the design of Mirzaee, Chang, Latifi 2025: the hybrid network and the LSTM in the sizes of the first
# author's code, in place of recordings that are not public. **Adds** tests of the four claims of the published
# summary, each its own section: both limbs at once, better than baselines, robust, across animals; frames held out in
# blocks with gaps, ablations, linear decoders, a null, and a check against ground truth.

# %%
from calcium_decoding import simulation
from calcium_decoding.plotting import style
from decoding_book.chapter import start
from decoding_book.chapters import tables
from decoding_book.chapters.bilateral import figures, summaries
from decoding_book.chapters.bilateral.study import SWEEPS, Study

# %% tags=["parameters"]
dataset = "simulated-footsteps"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
animals = 3  # animals that are used; 0: all
sessions = 1  # sessions of each animal that are used; 0: all
cells = 200  # cells of each animal that are used, drawn at random; 0: all
size = "small"  # size of the networks: april_9, april_17, small
window_frames = 16  # frames of a window, the last of which is decoded
lstm_frames = 10  # frames of a window of the LSTM
models = "hybrid,lstm,logistic,logistic_window,majority"  # decoders, hybrid first
ablations = "no_attention,no_convolution,no_bilstm"  # ablated networks; empty: none
places = 5  # places that the test block can have in a recording
blocks = 2  # places of the test block that are used, spread evenly
seeds = 2  # times that a network is trained
epochs = 8  # epochs over the training windows at most
patience = 8  # epochs without a better validation loss until training stops
batch_size = 32  # windows a step
learning_rate = 0.01  # highest step size of AdamW
every_frames = 5  # train on one window in so many
mixup = 0.0  # alpha of mixup; 0: none
activity = False  # train the published head of activity too
snrs = "1,2,4"  # signal-to-noise ratios to simulate anew
noises = "0,2"  # noise added to recorded data, SD of the cell
cell_counts = "50,400"  # cells in the sweep
training_shares = "0.25,1"  # shares of the training frames in the sweep
sweep_models = "hybrid,lstm,logistic"  # decoders in the sweeps
sweep_animals = 1  # animals in the sweeps; 0: all
minutes = "0.5,0"  # labelled minutes of a new animal; 0: all
read_in_width = 32  # channels of an animal's read-in
null_model = "hybrid"  # decoder refitted on shifted behaviour; empty: none
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # trainings at a time; 0: one a processor

# %%
chapter = start("40_bilateral_m1", globals())
study = Study.of(chapter.dataset, chapter.parameters, chapter.store)
known, truth = simulation.footstep_truth(dataset) or (None, None)
print(study.described())

# %% [markdown]
# A sample is a window of frames with the class of its *last* frame: nothing after the decoded moment is looked at.
# Each recording is cut into three contiguous parts, 70 % to train, 15 % to validate, 15 % to test, with gaps of a
# window and a second between them; the test part goes round. Means and SDs that scale cells and movement come from
# training frames alone. The study deals out overlapping windows at random; what that does to a score is the question
# of chapter 41.
#
# ## Look first
#
# Some cells of one animal while it walks. Blue: steps of the forelimb opposite to the imaged hemisphere. Orange:
# steps of the forelimb on the same side.

# %%
first = study.all_cells.recordings[0]
shown = range(0, first.n_roi, max(1, first.n_roi // 12))
fig, (ax,) = style.panels(1, height=4)
ax = figures.activity(first, shown, 5, 20, ax)

# %% [markdown]
# ## Training
#
# All decoders see the same frames. Networks are trained alike: AdamW under a one-cycle schedule, gradients clipped at
# a norm of 1, a class-weighted focal loss (exponent 2) for three classes and for each foot against the rest, plus the
# mean squared error of the movement of both paws where it is known. Validation frames choose the epoch of a network,
# and the penalty of a linear decoder. The *hybrid* has three convolutions over time with mixed normalisation and a
# skip, a BiLSTM of two layers, self-attention over the window, and takes the mean over its frames. The *LSTM* is the
# study's baseline. *Majority* says what is most frequent.

# %%
decoded = study.decode(models.split(","), [m for m in ablations.split(",") if m])
main = [r for r in decoded if r.names["model"] in models.split(",")]
null = study.null(null_model)

# %% [markdown]
# ## Claim 1: both limbs at once
#
# One network gives the class of the step and the position and speed of both paws, from the same window. First a
# stretch of test frames: decoded probability of a step of either foot, and the movement of each paw.

# %%
one = decoded[0]
rate_hz = chapter.rate_hz
variables = ("contra_position_mm", "ipsi_position_mm")
fig, axes = style.stack(3, height=1.9)
figures.decoded_feet(one, rate_hz, 1, 8, axes[0])
for variable, ax in zip(variables, axes[1:], strict=True):
    ax = figures.decoded_kinematics(
        one, rate_hz, 1, 8, variable, ax)

# %% [markdown]
# Accuracy alone flatters: about half of all frames have no step, and three quarters none of a given foot. So every
# score is compared with what *majority* gets. Balanced accuracy is the mean share of each class that is found, 1/3 by
# chance. AUC is taken from scores, one class against the rest, 0.5 by chance.

# %%
tables.show(summaries.summary(main))

# %%
tables.show(summaries.feet(main))

# %%
fig, axes = style.panels(3, width=13, height=3.8)
for ax, model in zip(axes, ("hybrid", "lstm", "logistic"), strict=True):
    if model in models.split(","):
        figures.confusions(main, model, ax)

# %% [markdown]
# Left, how well each class is told from the others (one-vs-rest). Right, the movement of each paw: R² is the share of
# its variance that is decoded; 0 is what always saying its mean gets. Where a recording has no movement of the paws,
# the panel says so.

# %%
classes = "none", "contralateral", "ipsilateral"
by_class = {name: f"auc_{name}" for name in classes}
by_limb = {f"{name}\npaw": f"r2_{name}" for name in classes[1:]}
fig, axes = style.panels(2, width=13, height=3.8)
figures.by_part(
    main, by_class, axes[0], "AUC (a dot is an animal)",
    chance=(0.5, "chance"))
ax = figures.by_part(
    main, by_limb, axes[1], "R² (a dot is an animal)",
    chance=(0, "mean"))

# %%
tables.show(summaries.summary(main, ("r2", "r2_contralateral", "r2_ipsilateral")))

# %% [markdown]
# In the simulated world cells were tuned to both feet, so that both can be decoded says nothing about mice. That the
# ipsilateral foot is harder follows from the share of cells we gave it.
#
# ## Claim 2: better than baselines
#
# The same frames, the same number of epochs, the same penalty grid or epoch choice. The grey band is the null: the
# network refitted on behaviour circularly shifted by half the recording. It has to sit at chance.

# %%
fig, (ax,) = style.panels(1, width=12, height=3.8)
ax = figures.strip(decoded, ax, nulls=null)

# %% [markdown]
# How far the hybrid is ahead of each other decoder, in balanced accuracy, paired by animal, test block and seed. The
# interval is over animals (Student's t); spread over blocks and over seeds is also given. Ablations leave out one
# part. With three animals no sign-flip p is below 1/4: intervals over so few say little, and the code says so rather
# than count frames or folds as if they were animals. A network of the demo's size, trained for seconds, is no judge
# of the published one.

# %%
tables.show(summaries.advantages(decoded))

# %% [markdown]
# And within one animal's test block, how sure is the number? Blocks of six seconds drawn with replacement.

# %%
tables.show(summaries.frame_intervals(decoded, "hybrid", chapter.rate_hz))

# %% [markdown]
# ## Claim 3: robust to noise and to many cells
#
# On simulated data the same sessions are made again with other noise, everything else the same to the last event; on
# recorded data white noise is added to each cell. A robust decoder falls slowly to the left. Beside it the number of
# cells, drawn at random; where more are asked for than were recorded, the rest are copies moved in time, which know
# nothing. Right, the share of the training frames.

# %%
asked = sweep_models.split(","), sweep_animals
kind = "noise" if known is None else "snr"
levels = [float(v) for v in (noises if known is None else snrs).split(",")]
by_noise = study.sweep(kind, levels, *asked, known)
by_cells = study.sweep("cells", [float(n) for n in cell_counts.split(",")], *asked)
by_length = study.sweep(
    "training", [float(n) for n in training_shares.split(",")], *asked)

# %%
fig, axes = style.panels(3, width=14, height=3.8)
found = (by_noise, SWEEPS[kind]), (by_cells, "cells"), (
    by_length, "share of training frames")
for ax, (results, label) in zip(axes, found, strict=True):
    figures.curve(results, label, ax, nulls=null)

# %%
tables.show(summaries.sweep_table(found))

# %% [markdown]
# What counts as robust is not said in the summary. Here are the curves of all decoders under the same conditions; a
# reader can see which falls first.
#
# ## Claim 4: across animals
#
# No cell of one mouse is a cell of another, so no decoder of cells can be carried over as it is. Each animal in turn
# is new; a trunk is trained on the others together, each seen through a linear read-in of its own. The new animal
# gets k labelled minutes. *Linear alignment* maps its cells onto the mean activity that the trained animals have at
# the same moment of a step, by ridge regression; the trunk stays as it is. *Read-in alone* trains that map further,
# *all layers* the trunk too. *Within animal* is the same network trained on these minutes alone, and logistic
# regression likewise. If the trunk brings something along, its curves lie above those from within the animal at few
# minutes.

# %%
limits = [float(k) for k in minutes.split(",")]
across = study.across(limits, width=read_in_width) if len(study.animals) > 1 else []

# %%
fig, axes = style.panels(2, width=13, height=4)
for ax, metric in zip(axes, ("balanced_accuracy", "r2"), strict=True):
    figures.curve(
        across, "labelled minutes of the new animal", ax, metric, zero="all")

# %%
tables.show(summaries.sweep_table([(across, "labelled minutes")]))

# %% [markdown]
# The row 0 holds all training frames of the new animal. Animals of one simulated world are built by one rule,
# which makes carrying over as easy as it can be.
#
# ## Where the information sits
#
# The summary speaks of a code for both limbs that is spread over cells. First, tuning: how much of a cell's variance
# do steps of one foot explain beyond those of the other? Colours are the ground truth, where that is known.

# %%
informed = study.information()
example = informed[0].animal
planted = None if truth is None else (
    truth[example].cells.iloc[summaries.kept_cells(study, example)])
fig, axes = style.panels(2, width=12, height=4)
figures.tunings(informed[0], axes[0], planted)
ax = figures.deletion_curves(informed, axes[1])

# %% [markdown]
# Right: the trained hybrid with more and more cells set to their mean, those first that are tuned best (to one foot,
# to either), that move the network most (gradient times input), or any. A code spread over many cells falls slowly
# when the order is random, a code in few cells falls at once when these go first. Below, each foot by itself: losing
# the cells of one foot should cost that foot.

# %%
orders = ("contralateral tuning", "ipsilateral tuning", "random")
fig, axes = style.panels(2, width=13, height=3.8)
for ax, foot in zip(axes, ("contralateral", "ipsilateral"), strict=True):
    figures.deletion_curves(
        informed, ax, f"auc_{foot}", orders)

# %% [markdown]
# Are the right cells found? *Precision* is the share of truly tuned cells among as many first ones as there are; *by
# chance* is what any ranking gets. The rank correlation is with the simulated gain.

# %%
recovered = summaries.recovery(informed, study, truth)
tables.show(recovered, decimals=2)

# %% [markdown]
# ## What the attention looks at
#
# Attention of the last frame of a window on each frame, mean over heads, and each head of one network. Weights show
# where a layer mixes from, behind a BiLSTM that has mixed the frames before. They are no measure of importance;
# deletion is.

# %%
fig, axes = style.panels(2, width=12, height=3.6)
figures.attention(informed, chapter.rate_hz, axes[0])
ax = figures.attention_heads(
    informed[0], chapter.rate_hz, axes[1])

# %% [markdown]
# Scores that do not exist, if any: a test block without a step of some foot has no AUC of it. They are named, not
# counted.

# %%
tables.show(summaries.not_evaluable(decoded))

# %% [markdown]
# ## What this does not show
#
# - **Not what the study found.** Its recordings are not public. A simulated world shows what a method can do in
#   principle, and whether the analysis is honest; it neither supports nor contradicts a published number.
# - **Not the published training**, unless run with profile *paper*: the demo trains a smaller network, on fewer
#   cells, for fewer epochs, at a higher rate.
# - **Not causes.** Activity that follows a step decodes as well as activity that commands it, and the two feet take
#   turns, so that one predicts the other.
# - **Not new sessions.** Training and test frames come from one session of an animal; chapter 41 asks about others.
#
# Your own recordings: put them into the study's form (a `.mat` of traces and a step table), or one `.csv` with the
# label last, name them in `data_manifest.yaml` with `format: footsteps`, and run this chapter with `--dataset`.

# %% [markdown]
# ## Result card

# %%
balanced, both = ("balanced_accuracy",), ("balanced_accuracy", "r2")
hybrid = [r for r in decoded if r.names["model"] == "hybrid"]
of_feet = [m for name in classes[1:] for m in (f"{name}_auc", f"r2_{name}")]
null_statement = f"{null_model} on behaviour moved by half a session"
card = chapter.card(study, null=null_statement, scores=[
    *summaries.card_scores(decoded, both, details=("accuracy", "macro_f1", "auc")),
    *summaries.card_scores(hybrid, of_feet),
    *summaries.card_scores(null, balanced, " null"),
    *summaries.sweep_scores(by_noise, balanced, kind),
    *summaries.sweep_scores(by_cells, balanced, "cells"),
    *summaries.sweep_scores(by_length, balanced, "share"),
    *summaries.sweep_scores(across, balanced, "minutes"),
    *summaries.recovery_scores(recovered)])
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
