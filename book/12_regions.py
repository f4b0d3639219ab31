# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which areas of the cortex does running show in?
#
# **You will learn** what a decoder scores when it is given some areas only; why an area that decodes well alone may not
# be missed when it is left out; and why masking a trained decoder is no substitute for training another one.
#
# **Data** any data set with ROI traces and a run label, or another behaviour of 0 and 1, which `-p target NAME` decodes
# (the text says *running* for it). Groups of areas need the study's 50 ROIs or ROI names that
# tell the area; without them the chapter shows correlations only. By default simulated: 5 animals, 50 ROIs.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about two minutes on 2 cores; paper, the
# published training of 15 sets of ROIs on 20 folds: a day or two.
#
# **Reproduces** Figs 6D, 6F and S6 of Ajioka et al. 2024: forelimb and hindlimb areas against all other ROIs, five
# groups of eight ROIs, correlation of each ROI with running. **Adds** each group left out with a refit, with intervals
# over animals, beside masking without one; the hemispheres; a check against the ground truth in simulated data, and in
# a world where running drives one group alone; the cost of selecting a group.

# %%
from calcium_decoding.experiments import compare, nested
from calcium_decoding.explain import occlusion
from calcium_decoding.plotting import comparisons, style
from decoding_book.chapter import start
from decoding_book.chapters import tables
from decoding_book.chapters.regions import figures, group_effects, roi_sets

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
target = "run"  # behaviour that is decoded: 0 and 1
regime = "auto"  # split: auto, or a name in splits.REGIMES
recipe = "auto"  # preprocessing: auto, or a name in preprocessing.RECIPES
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
n_blocks = 5  # blocks of a recording in the blocked split
model = "gru"  # decoder of every set of ROIs
train_every = 4  # train on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
sweep_folds = 3  # folds of every set of ROIs, spread evenly; 0: all
null_models = "gru"  # decoder refitted on permuted sessions; empty: none
null_folds = 3  # folds the null is refitted on, spread evenly; 0: all
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("12_regions", globals())
experiment = chapter.plan(n_folds=sweep_folds)
sets = roi_sets.sets_of(chapter.dataset)
print(f"sets     {sets.statement}")

# %% [markdown]
# The demo takes three of the twenty folds, with three test animals of the five; the published protocol tests each
# animal four times, with another one for validation. Without groups of areas everything below about groups stays
# empty, and says so.
#
# ## Which ROIs go with running, one by one?
#
# Pearson's correlation of each ROI with the run label, session by session: baseline subtracted, not scaled. The study
# averages over its 64 sessions and shows the population SD over sessions. Sessions of one animal are not independent,
# so each animal has a dot here, and the sample SD over animals stands in the table.

# %%
correlation = roi_sets.correlations(chapter.dataset, baseline_frames, target)
by_roi = roi_sets.correlation_table(correlation, sets, chapter.dataset)
fig, (ax,) = style.panels(1, width=11, height=3.8)
ax = figures.correlations(correlation, by_roi, chapter.dataset, ax)

# %%
tables.show(roi_sets.correlation_summary(by_roi))

# %% [markdown]
# The text of the paper gives 0.21 ± 0.10 over the 50 ROIs. The mean agrees with the values saved in its code; the SD of
# the 50 means there is 0.07, so the 0.10 must be another SD. Simulated ROIs were *given* sustained activity in
# proportion to the published correlations, so agreement there is by construction and implies nothing.
#
# A correlation looks at one ROI at one moment. It misses a rhythm with a mean of zero, which the limb areas may have,
# and it counts what two areas share twice.
#
# ## Decoding from some areas only
#
# The restriction is the published one: after scaling, all other ROIs are set to 0 in training, validation and test.
# The decoder keeps its shape and is trained anew for each set, so it cannot miss what it never had. Beside the
# published sets stand each group left out, which the next section needs, and the two hemispheres.

# %%
asked = roi_sets.conditions_of(experiment, sets, model)
found = compare.run(asked, chapter.store, jobs or None, label="sets of ROIs")
nulls, null_statement = chapter.decode_null()
print(null_statement)

# %% [markdown]
# Fig 6D asks whether four ROIs of the forelimb and hindlimb areas (6, 8, 31 and 33) do as well as all 50, and better
# than the other 46. Fig 6F compares five groups of eight ROIs: motor (M2&M1), limbs (FL&HL), parietal and retrosplenial
# (PT&RS), medial visual (V1&Vm), lateral visual and auditory (Vl&A1).

# %%
fig, axes = style.panels(2, width=12.5, height=4, width_ratios=[3, 5])
panel_d = roi_sets.pick(found, [sets.all, *sets.limbs])
panel_f = roi_sets.pick(found, sets.groups) or panel_d
comparisons.strip(panel_d, axes[0], nulls=nulls)
ax = comparisons.strip(panel_f, axes[1], nulls=nulls)

# %%
shown = roi_sets.pick(found, [sets.all, *sets.limbs, *sets.groups])
tables.show(compare.table(shown))

# %% [markdown]
# The study tests every pair of a panel with the rank-sum test over folds, corrected by Holm. Those p stand first, ours
# and, where comparable, those that follow from the published folds. Folds share animals; so beside them is the
# difference paired by fold, averaged in each animal, with its 95 % interval over animals, and the exact sign-flip p.
# With five animals no p below 1/16 is possible, with three none below 1/4: read the interval and the dots.

# %%
tables.show(compare.short_tests(panel_d))

# %%
tables.show(compare.short_tests(panel_f))

# %% [markdown]
# On simulated data the order of the groups is part of the simulation (strides drive the limb areas most), and
# agreement with the published order says nothing about cortex.
#
# ## Is a group needed by the others?
#
# Three questions that are easily taken for one:
#
# - **Kept alone** and refitted: does the group *hold* something that tells running from resting?
# - **Left out** and refitted: does it hold something that the others do *not*? If two groups carry the same, neither
#   is missed.
# - **Masked without a refit**: how much does *this* decoder lean on the group? A decoder that was trained with it never
#   learnt to do without, and its input is now like nothing it has seen. So the loss overstates what the group adds:
#   it counts what the others would have replaced. Zero is the least value a scaled ROI ever takes, far from its mean;
#   filling in the mean of the training frames shows how much of the loss is that shock. (A linear decoder does not
#   notice the difference: a constant moves all its outputs alike.)

# %%
masked = occlusion.mask_rois(
    experiment, sets.groups, model, chapter.store, jobs or None)
effects = group_effects.effects(found, sets, masked)
fig, (ax,) = style.panels(1, width=10, height=4.2)
ax = figures.effects(effects, ax)

# %%
tables.show(group_effects.effect_table(effects))

# %% [markdown]
# Means over test animals with 95 % t intervals. A loss after refit that is near zero does not make a group
# unimportant; it makes it *replaceable* for this decoder and this amount of data. A loss below zero is possible: fewer
# inputs are learnt faster, and each refit has its own luck. Studies that mask a trained network and say how much an
# area *contributes* report the other kind of number.
#
# ## Does the order agree with the ground truth?
#
# Where the data are simulated, their truth file says how much of the variance of each ROI running drives. What is kept
# alone should follow that order. What is left out need not: where areas are redundant, the loss is small however much
# was simulated. The rank correlation over five groups is a summary, not a test.

# %%
truth, statement = group_effects.ground_truth(chapter.dataset, sets)
print(statement)
fig, axes = style.panels(2, width=10, height=3.8)
label = "share of variance driven by running, planted"
for ax, way in zip(axes, (group_effects.ALONE, group_effects.REFIT), strict=True):
    figures.against_truth(effects, truth, "share_driven", way, ax, label)

# %%
agreement = group_effects.agreement(effects, truth)
tables.show(agreement)

# %% [markdown]
# A second comparison with ground truth: the sides. In the simulation both hemispheres are driven alike, in turn with
# the limbs of their side, so either alone should do about as well as the other.

# %%
tables.show(compare.table(roi_sets.pick(found, [sets.all, *sets.sides])))

# %% [markdown]
# ## A world where we know the answer
#
# In the world `single_area` running drives the limb areas alone; the others share arousal with them and nothing else.
# A sound analysis has to find this: only FL&HL decodes alone, and only leaving out FL&HL hurts. Always simulated,
# whatever data the chapter runs on: three small animals, logistic regression on one frame.

# %%
world, world_effects = group_effects.one_area_world(
    seed, store=chapter.store, jobs=jobs or None)
fig, axes = style.panels(2, width=12, height=4)
figures.effects(world_effects, axes[0], [group_effects.ALONE])
ax = figures.effects(world_effects, axes[1], [group_effects.REFIT])

# %%
tables.show(compare.table(world[:6]))

# %% [markdown]
# Something is worth a second look. All 50 ROIs do much better than the driven eight by themselves, although the other
# 42 know nothing of running. They know the arousal that hides it, and a decoder subtracts it. Any one of them can be
# left out, since the others know it too. So **kept alone understates** a group whose noise the others could cancel, and
# a decoder's weight on an area is no proof that the area follows the behaviour.
#
# ## The cost of selection
#
# Say one group is all that can be recorded. Which one? The best score among groups on the tested animals is
# optimistically biased: the choice was fitted to them. Here the other animals choose: each group is decoded on them,
# the best is taken, and only then the tested animal is looked at. The difference to hindsight is the cost of selection
# (nested cross-validation). It is small where one group is far ahead. Logistic regression on one frame, because every
# group is trained on every fold.

# %%
whole = chapter.plan(say=False)
small = ["FLa&HLa", *sets.groups] if sets.limbs else [*sets.groups] or [sets.all]
asked = roi_sets.conditions_of(whole, sets, "logistic", small)
inside, statement = nested.attempt(
    chapter.dataset, {c.name: (c.model, c.experiment.input) for c in asked},
    whole.training, chapter.store, jobs or None)
print(statement)
tables.show(inside)

# %%
every = compare.run(asked, chapter.store, jobs or None, label="hindsight")
price = group_effects.cost_of_selection(inside, every)
tables.show(price)

# %% [markdown]
# ## What this does not show
#
# - **Not where running is made.** Decoding finds activity that correlates with running, before or after it: feedback
#   from the limbs, eyes and ears counts as much as a command, and so do blood and movement of the brain.
# - **Not single areas.** Apart from ROIs 6, 8, 31 and 33 the study tells which group a ROI belongs to, not its area.
# - **Not equal chances.** Groups differ in size on the brain, in signal and in how well they are lit; eight ROIs of one
#   group are no fair match for eight of another.
# - **Not all combinations.** Five groups make 32 sets; alone and left out are the two ends.
# - **Not more than these animals**, and in the demo one fold each of three. Intervals over so few animals are wide,
#   and the sign-flip p cannot be small.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
scores = [
    *roi_sets.card_scores(correlation, by_roi),
    *compare.card_scores(found),
    *group_effects.card_scores(effects),
    *group_effects.agreement_scores(agreement),
    *group_effects.world_scores(world),
    *nested.card_scores(inside),
]
failed = [fold for result in found for fold in result.folds if fold.reason]
card = chapter.card(experiment, failed, nulls, null_statement, scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
