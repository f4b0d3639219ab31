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
import pandas as pd
import seaborn as sns

from calcium_decoding.data import published
from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.experiments import Experiment, Traces, compare, nested
from calcium_decoding.explain import occlusion
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import comparisons, style
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from decoding_book.chapter import start
from decoding_book.chapters import data_tour, regions, tables

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
train_every = 4  # train and validate on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
sweep_folds = 3  # folds of every set of ROIs, spread evenly; 0: all
seeds = 1  # trainings of each condition, with seeds from this one on
null_models = "gru"  # decoder refitted on permuted sessions; empty: none
null_folds = 3  # folds the null is refitted on, spread evenly; 0: all
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("12_regions", globals())
experiment = chapter.plan(n_folds=sweep_folds)
data = chapter.dataset
sets = regions.sets_of(data)
pool = {"store": chapter.store, "jobs": jobs or None}
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
correlation = data_tour.correlations(data, baseline_frames, chapter.task.name)
by_roi = pd.DataFrame()
if sets.n_roi is not None:
    r = correlation.groupby("roi")["r"]
    of_animals = correlation.groupby(["roi", "animal"])["r"].mean().groupby("roi")
    by_roi = pd.DataFrame({
        "group": "other", "mean": r.mean(), "sd_sessions": r.std(ddof=0),
        "mean_animals": of_animals.mean(), "sd_animals": of_animals.std()})
    by_roi.loc[r.size() < 2, "sd_sessions"] = None
    for group, rois in sets.groups.items():
        by_roi.loc[by_roi.index.isin(rois), "group"] = group
    if sets.published and (data.compare_with_study or data.simulated):
        by_roi["published"] = published.roi_run_correlation()

# %%
fig, (ax,) = style.panels(1, width=11, height=3.8)
if by_roi.empty:  # recordings differ in their ROIs
    style.histogram(correlation["r"], "correlation with running (r)", ax, data)
else:
    animals = correlation.pivot_table("r", "animal", "roi", sort=False)
    animals = animals.reindex(columns=range(1, sets.n_roi + 1)).to_numpy()
    groups = list(published.roi_table()["group"]) if sets.limbs else None
    style.correlation_with_running(data, animals, ax, groups)
    ax.errorbar(by_roi.index, by_roi["mean"], by_roi["sd_sessions"], fmt="none",
                lw=0.8, color=style.NULL_COLOUR, zorder=0, label="SD over sessions")
    if "published" in by_roi:
        ax.plot(by_roi["published"], "D", mfc="white", color=style.SIGNAL, ms=4,
                alpha=0.8, label="published, real mice")
    ax.set_xlabel("ROI (a dot is an animal, the line their mean)")
    style.legend_beside(ax)

# %%
summary = by_roi
if len(by_roi):
    in_all = pd.concat([by_roi, by_roi.assign(group="all")]).groupby("group")
    summary = in_all.mean().rename(columns={
        "mean": "mean r", "sd_sessions": "SD over sessions, mean of ROIs",
        "mean_animals": "mean r of animals",
        "sd_animals": "SD over animals, mean of ROIs",
        "published": "published mean r, real mice"})
    summary.insert(0, "ROIs", in_all.size())
    summary.insert(2, "SD over ROIs", in_all["mean"].std())
    summary = summary.reindex([*sets.groups, "other", "all"]).dropna(how="all")
tables.show(summary.reset_index())

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

# %% [markdown]
# Fig 6D asks whether four ROIs of the forelimb and hindlimb areas (6, 8, 31 and 33) do as well as all 50, and better
# than the other 46. Fig 6F compares five groups of eight ROIs: motor (M2&M1), limbs (FL&HL), parietal and retrosplenial
# (PT&RS), medial visual (V1&Vm), lateral visual and auditory (Vl&A1). First the stored training:

# %%
stored = chapter.stored("sets of ROIs")
panel_d, panel_f = stored[:3], stored[3:8]  # in the order of the sets above
fig, axes = style.panels(2, width=12.5, height=4, width_ratios=[3, 5])
comparisons.strip(panel_d, axes[0])
ax = comparisons.strip(panel_f, axes[1])

# %%
tables.show(compare.table(stored))

# %% [markdown]
# The study tests every pair of a panel with the rank-sum test over folds, corrected by Holm. Where so many folds can
# give a p below 0.05, it stands first, and, where comparable, the one that follows from the published folds. Folds
# share animals; so beside it is the difference paired by fold, averaged in each animal, with its 95 % interval over
# animals. Two-sided, fewer than six animals cannot give a sign-flip p below 0.05: read the interval and the dots. Sets
# whose training has not converged are not compared, here and in what follows.

# %%
tables.show(compare.short_tests(panel_d))

# %%
tables.show(compare.short_tests(panel_f))

# %% [markdown]
# Now the training of this page, on the data and with the effort that its parameters say. What follows shows the stored
# training first where it has the numbers, and this one beside or below it:

# %% tags=["hide-output"]
asked = regions.restricted(experiment, sets)
known = sets.published if model == "gru" else None
found = compare.compare(
    asked, [model], known, label="sets of ROIs", seeds=seeds, **pool)
by_name = {result.name: result for result in found}
nulls, null_statement = chapter.decode_null()
print(null_statement)

# %% tags=["hide-output"]
fig, axes = style.panels(2, width=12.5, height=4, width_ratios=[3, 5])
panel_d = [by_name[name] for name in (sets.all, *sets.limbs)]
panel_f = [by_name[name] for name in sets.groups] or panel_d
comparisons.strip(panel_d, axes[0], nulls=nulls)
ax = comparisons.strip(panel_f, axes[1], nulls=nulls)

# %% tags=["hide-output"]
shown = [sets.all, *sets.limbs, *sets.groups]
tables.show(compare.table([by_name[name] for name in shown]))

# %% tags=["hide-output"]
tables.show(compare.short_tests(panel_d))

# %% tags=["hide-output"]
tables.show(compare.short_tests(panel_f))

# %% [markdown]
# On simulated data the order of the groups is part of the simulation (strides drive the limb areas most, and the gains
# of most groups were set by their published scores, see chapter 04), and agreement with the published order says
# nothing about cortex.
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
masked = occlusion.mask_rois(experiment, sets.groups, model, **pool)
effects = regions.effects(found, sets, masked)
said, stored_said = compare.warning(found), compare.warning(stored)
of_stored = effects[:0]
if stored:  # without masks: a card keeps no networks
    of_stored = regions.effects(stored, regions.study_sets())
trainings = {"stored training": (of_stored[of_stored["converged"]], stored_said),
             "training of this page": (effects[effects["converged"]], said)}

# %%
fig, axes = style.panels(2, width=14, height=4.2)
for ax, (name, (sure, why)) in zip(axes, trainings.items(), strict=True):
    lost = sure[sure["way"] != regions.ALONE]
    if lost.empty:
        style.nothing(ax, why or f"{name}: no groups of areas")
        continue
    marks = {"x": "group", "y": "value", "hue": "way", "ax": ax}
    sns.stripplot(lost, **marks, dodge=True, jitter=0.08, size=4.5, alpha=0.75)
    sns.pointplot(lost, **marks, dodge=0.53 * (len(set(lost["way"])) > 1),
                  errorbar=None, linestyle="none", marker="_", markersize=22,
                  legend=False)
    ax.axhline(0, color=style.NULL_COLOUR, ls="--", lw=1, label="nothing lost")
    ax.set(xlabel="", ylabel="AUC lost (a dot is an animal)", title=name)
    style.legend_beside(ax)
    style.simulated_mark(style.warned(ax, why), lost)

# %%
sure, why = trainings["stored training"]
tables.show(regions.worth(sure), said=why)

# %% tags=["hide-output"]
sure, why = trainings["training of this page"]
tables.show(regions.worth(sure), said=why)

# %% [markdown]
# AUC of the group kept alone, and AUC lost in the other ways: means over test animals with 95 % t intervals. Networks
# of the stored training are not kept, so that masks are of this page only; where a network has not converged, neither
# means what it says. A loss after refit that is near zero does not make a group unimportant; it makes it *replaceable*
# for this decoder and this amount of data. A loss below zero is possible: fewer inputs are learnt faster, and each
# refit has its own luck. Studies that mask a trained network and say how much an area *contributes* report the other
# kind of number.
#
# ## Does the order agree with the ground truth?
#
# Where the data are simulated, their truth file says how much of the variance of each ROI running drives. What is kept
# alone should follow that order. What is left out need not: where areas are redundant, the loss is small however much
# was simulated. The rank correlation over five groups is a summary, not a test. The stored training saw more sessions
# of the default world, and is shown where this page has that world: the truth is this page's.

# %%
truth, statement = regions.ground_truth(data, sets.groups)
print(statement)
if "'paper_like'" not in statement:
    trainings.pop("stored training")
shown = [(name, sure, why, way) for name, (sure, why) in trainings.items()
         for way in (regions.ALONE, regions.REFIT)]

# %%
fig, axes = style.panels(len(shown), width=4.3 * len(shown), height=3.8)
for ax, (name, sure, why, way) in zip(axes, shown, strict=True):
    of_groups = sure[sure["way"] == way].groupby("group")["value"]
    here = truth[truth["group"].isin(of_groups.groups)] if len(truth) else truth
    for i, row in here.iterrows():
        values = of_groups.get_group(row["group"])
        low, high = values.mean(), values.mean()
        if len(values) > 1:
            _, low, high = statistics.t_interval(values, regions.bounds(way))
        ax.plot([row["share_driven"]] * 2, [low, high], color=f"C{i}", lw=1.2)
        ax.plot(row["share_driven"], values.mean(), "o", color=f"C{i}",
                label=row["group"])
    if here.empty:
        style.nothing(ax, why or f"{name}: nothing to compare")
        continue
    ax.set(title=f"{name}:\n{way}", xlabel="share driven by running, planted",
           ylabel="AUC" if way == regions.ALONE else "AUC lost")
    style.legend_beside(ax)
    style.simulated_mark(style.warned(ax, why), sure)

# %%
agreement, kept = pd.DataFrame(), pd.DataFrame()
if len(truth):
    planted = truth.set_index("group")[["share_driven", "sustained", "stride"]]
    agreement, kept = (pd.DataFrame({
        name: table.pivot_table("value", "group", "way", sort=False).corrwith(
            planted[name], method="spearman") for name in planted})
        for table in (effects, of_stored))
if stored_said or "stored training" not in trainings:
    kept = kept[:0]
tables.show(kept.add_prefix("Spearman r with ").reset_index(), said=stored_said)

# %% tags=["hide-output"]
shown = pd.DataFrame() if said else agreement.add_prefix("Spearman r with ")
tables.show(shown.reset_index(), said=said)

# %% [markdown]
# A second comparison with ground truth: the sides. In the simulation both hemispheres are driven alike, in turn with
# the limbs of their side, so either alone should do about as well as the other. First the stored training:

# %%
sides = ("all 50", "left", "right")
tables.show(compare.table([one for one in stored if one.name in sides]))

# %% tags=["hide-output"]
tables.show(compare.table([by_name[name] for name in (sets.all, *sets.sides)]))

# %% [markdown]
# ## A world where we know the answer
#
# In the world `single_area` running drives the limb areas alone; the others share arousal with them and nothing else.
# A sound analysis has to find this: only FL&HL decodes alone, and only leaving out FL&HL hurts. Always simulated,
# whatever data the chapter runs on: three small animals, logistic regression on one frame.

# %%
small = widefield.dataset(widefield.SimulationSettings(
    world="single_area", animals=3, sessions_per_animal=3, seed=seed,
    frames_per_session=1200))
of_world = regions.sets_of(small)
asked = regions.restricted(Experiment(
    small, "animal_pairs", Traces("published", WindowSpec(0, 0)),
    training=TrainingSettings(seed=seed)), of_world)
groups = [of_world.all, *of_world.groups]
others = [regions.left_out(group) for group in of_world.groups]
world = compare.compare({name: asked[name] for name in [*groups, *others]},
                        ["logistic"], label="one driven area", **pool)
in_world = regions.effects(world, of_world)

# %%
fig, axes = style.panels(2, width=12, height=4)
ways = {regions.ALONE: (0.5, "AUC"), regions.REFIT: (0, "AUC lost")}
for ax, (way, (level, label)) in zip(axes, ways.items(), strict=True):
    here = in_world[in_world["way"] == way]
    sns.stripplot(here, x="group", y="value", jitter=0.08, size=4.5, ax=ax)
    sns.pointplot(here, x="group", y="value", errorbar=None, linestyle="none",
                  marker="_", markersize=30, color=style.SIGNAL, ax=ax)
    ax.axhline(level, color=style.NULL_COLOUR, ls="--", lw=1)
    ax.set(xlabel="", ylabel=f"{label} (a dot is an animal)", title=way)
    style.simulated_mark(ax, small)

# %%
tables.show(compare.table(world[:len(groups)]))

# %% [markdown]
# Something is worth a second look. All 50 ROIs do better than the driven eight by themselves, although the other
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
# group is trained on every fold. A rhythm of limbs, whose mean is zero, cannot be seen in one frame: the group chosen
# here is the best for such a decoder, and not for the network on windows above.

# %%
whole = chapter.plan(say=False)
some = ["FLa&HLa"] if sets.limbs else []
asked = {name: one for name, one in regions.restricted(whole, sets).items()
         if name in ([*some, *sets.groups] or [sets.all])}
inside, statement = nested.attempt(
    data, {name: ("logistic", one.input) for name, one in asked.items()},
    whole.training, task=whole.task, **pool)
print(statement)
tables.show(inside)

# %%
every = compare.compare(asked, ["logistic"], label="hindsight", **pool)
price = pd.DataFrame()
if len(inside) and inside["AUC"].notna().any():
    chosen = inside.dropna(subset="AUC")
    tested = pd.DataFrame({result.name: result.by_animal() for result in every})
    tested = tested.loc[chosen["tested on"]]
    best, name = tested.mean().idxmax(), "chosen on the others"
    price = pd.DataFrame([
        ("on the other animals, for each tested one",
         ", ".join(chosen[name].unique()), chosen["AUC"].mean()),
        ("in hindsight, one for all", best, tested[best].mean()),
        ("in hindsight, one for each", ", ".join(tested.idxmax(axis=1).unique()),
         tested.max(axis=1).mean())], columns=["choice", "set", "AUC"])
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
# - **Not more than these animals**, and in the demo one fold each of three. Intervals over so few animals are wide.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# fold included, is the `.card.json` beside the executed notebook.

# %%
r, unit = correlation["r"], "ROIs of recordings"
if len(by_roi):
    r, unit = by_roi["mean"], "ROIs"
scores = cards.summarise("ROI", r, "pearson_r", unit) if len(r) else []
scores += [cards.Score(model="ROI", metric="pearson_r", value=r.min(),
                       scope=f"smallest of {len(r)} {unit}")] if len(r) else []
scores += compare.card_scores(found)
losses = effects[effects["way"] != regions.ALONE]
for (group, way), values in losses.groupby(["group", "way"], sort=False)["value"]:
    n = len(values)
    scores += [cards.Score(  # no "mean of": near 0, rounding gives either sign
        model=f"{group} {way}", metric="auc_lost", value=values.mean(), n=n,
        sd=values.std() if n > 1 else None, scope=f"loss, mean of {n} animals")]
for name in agreement:
    scores += [cards.Score(model=way, metric=f"spearman_r_{name}", value=value,
                           scope="over groups")
               for way, value in agreement[name].dropna().items()]

# %%
driven = widefield.WORLDS["single_area"].only_group.replace("_", "&")
for result in world:
    if result.name in (of_world.all, driven, regions.left_out(driven)):
        name = f"{result.name} (simulated, one driven area)"
        scores += cards.summarise(name, result.values().values())[:1]
scores += nested.card_scores(inside)
failed = [fold for result in found for fold in result.folds if fold.reason]
card = chapter.card(experiment, failed, nulls, null_statement, scores, {
    "sets of ROIs": found})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
