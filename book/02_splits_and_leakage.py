# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where does a high score come from when there is nothing to find?
#
# **You will learn** how a decoder scores high on data without any relation, what each leak contributes, how an
# audit refuses such a split, and how far apart the scores of one decoder lie within a session, across sessions and
# across animals.
#
# **Data** first traces and labels that are independent by construction; then any data set of the manifest with a run
# label, or another behaviour of 0 and 1, which `-p target NAME` decodes; by default simulated: 5 animals, 50 ROIs. The
# text says *running* for what is decoded.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about two minutes on 2 cores; paper: an
# hour (64 sessions of 18,000 frames, every regime).
#
# **Reproduces** the split of Mirzaee, Chang, Latifi 2025: windows at every frame, assigned at random. **Adds** the
# same score from nothing, the leak taken apart, the audit, three claims in one figure, a decoder that sees only the
# clock, and a choice among decoders that never looks at the test animal.

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding import splits
from calcium_decoding.errors import LeakError
from calcium_decoding.evaluation import cards
from calcium_decoding.experiments import Traces, nested
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import style
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.splits import audit
from decoding_book.chapter import start
from decoding_book.chapters import leakage, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 1  # seed of everything random
target = "run"  # behaviour that is decoded: 0 and 1
draws = 2  # data sets without any relation
unrelated_frames = 6000  # frames of each of them
trees = 10  # trees of the random forest, which is slow; 0: no forest
recipe = "scaled"  # preprocessing of every regime
candidates = "scaled,causal"  # preprocessing among which inner animals choose
baseline_frames = 150  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
models = "logistic,time_only"  # decoders, comma between
n_blocks = 4  # blocks of a recording in the blocked split
embargo_times = 2.0  # embargo between blocks, autocorrelation times
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("02_splits_and_leakage", globals())
task = chapter.task
what = "running" if task.name == "run" else task.name
print(f"decoded  {what}, on the data set; unrelated data have a label of their own")

# %% [markdown]
# ## A score from nothing
#
# Forty traces and a label with three classes, drawn independently of each other. Both are slow: their autocorrelation
# time is 20 frames, as calcium signals and behaviour are. A sample is a window of 32 frames, one window at every
# frame, with the label of its last frame. Whoever decodes this label from these traces should be right by chance:
# balanced accuracy 1/3.
#
# Now the published split: windows first, then 85 % of them at random to train, 15 % to test.

# %%
from_nothing = leakage.score_schemes(seed, draws, unrelated_frames, trees=trees)
is_published = from_nothing["scheme"] == "random windows"
published = from_nothing[is_published].groupby("decoder", sort=False)
columns = ["accuracy", "balanced_accuracy", "sharing"]
tables.show(published[columns].mean().reset_index())

# %% [markdown]
# Here it is, out of nothing. No decoder did anything wrong; a *nearest neighbour* (1-NN) simply looks for the training
# window most like the test window. The last column says why it finds one with the right label: *every* test window
# shares frames with a training window. Its neighbour one frame further on holds 31 of the same 32 frames, and the same
# label.
#
# ## Taken apart
#
# The same data, split in four ways. *Random pieces* are runs of 64 frames assigned at random, with windows
# inside them: training and test share no frame but lie side by side. *Last part* tests on the last 15 %, without and
# with a gap. The random forest, which is slow, is run on the first and the last of the four.

# %%
fig, (ax,) = style.panels(1, width=7, height=4)
dots = {"x": "scheme", "y": "balanced_accuracy", "hue": "decoder"}
sns.stripplot(from_nothing, **dots, dodge=True, alpha=0.7, ax=ax)
apart = 0.4 * (len(set(from_nothing["decoder"])) > 1)
sns.pointplot(from_nothing, **dots, dodge=apart, errorbar=None, linestyle="none",
              marker="_", markersize=18, legend=False, ax=ax)
ax.axhline(leakage.CHANCE, color=style.NULL_COLOUR, ls=":", label="chance (1/3)")
words = [scheme.replace(", ", ",\n") for scheme in leakage.SCHEMES]
ax.set_xticks(range(len(words)), words)
ax.set(xlabel="", ylabel="balanced accuracy (a dot is a draw)", ylim=(0.15, 1))
ax.legend(fontsize=8)
ax = style.simulated_mark(ax, from_nothing)

# %% [markdown]
# The same in fine steps: the nearest neighbour may use only training windows that are at least so many frames away in
# time. Filled marks: training and test windows share frames. Open marks: they share none.

# %%
by_distance = leakage.score_by_distance(seed, draws, unrelated_frames)
mean = by_distance.pivot_table(
    "balanced_accuracy", index="distance_frames", columns="window_frames")
fig, (ax,) = style.panels(1, width=7, height=4)
colours = sns.color_palette("viridis", len(mean.columns))
for colour, (length, scores) in zip(colours, mean.items(), strict=True):
    apart = scores.index >= length
    label = f"window of {length}" if length > 1 else "single frame"
    ax.plot(scores, color=colour, lw=1.5, label=label)
    ax.plot(scores[~apart], "o", color=colour, ms=5)
    ax.plot(scores[apart], "o", color=colour, mfc="white", ms=5)
ax.axhline(leakage.CHANCE, color=style.NULL_COLOUR, ls=":", label="chance (1/3)")
ax.axvline(leakage.TAU_FRAMES, color=style.NULL_COLOUR, ls="--",
           label="autocorrelation time")
ax.set(xscale="log", xlabel="distance to the nearest training window (frames)",
       ylabel="balanced accuracy of 1-NN", ylim=(0.15, 1))
ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], [1, 2, 5, 10, 20, 50, 100, 200])
ax.minorticks_off()
ax.legend(fontsize=8)
ax = style.simulated_mark(ax, by_distance)

# %% [markdown]
# What each leak adds to the score of the nearest neighbour, from the soundest split upwards:

# %%
nearest = from_nothing[from_nothing["decoder"] == "1-NN"]
steps = nearest.pivot_table("balanced_accuracy", index="draw", columns="scheme")
steps = steps[list(leakage.SCHEMES)[::-1]]
adds = steps.diff(axis=1).fillna(steps)
adds.columns = [
    "no leak: last part, purged", "no gap at the border",
    "neighbours on both sides, no frame shared",
    "shared frames: windows that overlap"]
adds = pd.DataFrame({"adds": adds.mean(), "SD": adds.std()})
tables.show(adds.rename_axis("leak").reset_index())

# %% [markdown]
# All of it comes from windows that share frames. Is sharing the point, then? Read the last figure twice. First along
# a curve: the score is above chance only where the nearest training window is closer than a few autocorrelation times.
# Then across the curves: **they are one curve.** A single frame has nothing to share, and still scores as high when its
# neighbour is in the training set (open marks). What leaks is nearness in time. Windows of 32 frames that share none
# are already more than an autocorrelation time apart, which is why their score is at chance as soon as no frame is
# shared; with slower signals or shorter windows it would not be.
#
# Two numbers follow for every split within a recording. The **purge** takes out what training and test touch together:
# window, label shift, smoothing, the reach of preprocessing. The **embargo** adds a few autocorrelation times of the
# behaviour.
#
# ## What the audit says
#
# For every sample the audit knows the interval of frames that it touches. It refuses what overlaps, and names the
# steps and the frames; with an embargo it also refuses what merely lies too close.

# %%
verdicts = {scheme: {} for scheme in leakage.SCHEMES}
for scheme, said in verdicts.items():
    train, test = (leakage.intervals(ends, 32) for ends in leakage.deal(
        scheme, unrelated_frames, 32, seed))
    for embargo in (0, leakage.TAU_FRAMES):
        column = f"audit, embargo of {embargo} frames" if embargo else "audit"
        try:
            apart = audit.check_samples(train, test, embargo)
            said[column] = f"passed, {apart} frames apart"
        except LeakError as error:
            said[column] = f"REFUSED: {error.found}"
verdicts = pd.DataFrame(verdicts).T
tables.show(verdicts.rename_axis("scheme").reset_index())

# %% [markdown]
# The same audit stands before every training in this book. It also knows the look-ahead and look-back of each
# preprocessing step, what every step was fitted on, recordings under two names, copied stretches of frames, and
# thresholds or stopping rules chosen on the test. For arrays of your own it takes intervals
# (`audit.check_samples`) or any scikit-learn splitter (`audit.check_cv`).
#
# ## One decoder, three claims
#
# Now the data set. Logistic regression on the labelled frame, the same everywhere, under three designs:
#
# - *within session*: contiguous blocks of a session take turns as the test, purged, with an embargo;
# - *across sessions*: each session of an animal is the test once, its other sessions train;
# - *across animals*: each animal is the test; the mean of its runs, one for each other animal that validates.
#
# Beside them the published random windows, marked LEAKY; the audit lets that split pass only because it says so in
# its name and its claim. The *time only* decoder sees no signal at all, just the time since the recording began: what
# it scores, slow drift alone can give.

# %%
base = {"rate_hz": chapter.rate_hz, "baseline_frames": baseline_frames}
spec, settings = WindowSpec(past_frames, future_frames), TrainingSettings(seed=seed)
tau = splits.embargo_frames(chapter.dataset, 1, task.name)
tau_s = tau / chapter.rate_hz
print(f"autocorrelation time of {what}: {tau} frames, {tau_s:.1f} s")

# %%
regimes = ["blocked", "leave_one_session_out", "nested_animals", "random_windows"]
label = {"label": task.name}
options = {
    "blocked": {"n_blocks": n_blocks, "embargo_times": embargo_times, **label},
    "random_windows": {"seed": seed, **label}}
experiments, results, reasons = leakage.by_regime(
    chapter.dataset, regimes, spec, {"name": recipe, **base}, settings,
    models.split(","), task, options, store=chapter.store, jobs=jobs or None)
tables.show(leakage.regime_table(experiments, results, reasons))

# %%
by_animal = leakage.animal_scores(experiments, results)
claims = list(by_animal["claim"].unique())
fig, (ax,) = style.panels(1, width=9, height=4.2)
for i, (model, mine) in enumerate(by_animal.groupby("decoder", sort=False)):
    wide = mine.pivot_table("score", index="claim", columns="animal").loc[claims]
    x = np.arange(len(wide)) + 0.25 * i - 0.125
    ax.plot(x, wide, "-o", color=COLOURS[model], alpha=0.5, ms=5, lw=0.7)
    ax.hlines(wide.mean(axis=1), x - 0.1, x + 0.1, color=style.SIGNAL, zorder=3)
    ax.plot([], [], "o", color=COLOURS[model], label=LABELS[model])
ax.axhline(0.5, color=style.NULL_COLOUR, ls=":", lw=1, label="chance")
if splits.LEAKY in claims:
    leaky = claims.index(splits.LEAKY)
    ax.axvspan(leaky - 0.5, leaky + 0.5, color=style.NULL_COLOUR, alpha=0.12, lw=0)
ax.set_xticks(range(len(claims)), [
    claim.replace(splits.LEAKY, "LEAKY\nrandom windows") for claim in claims])
ax.set(ylabel=f"AUC of {what} (a dot is an animal)")
style.legend_beside(ax)
ax = style.simulated_mark(ax, by_animal)

# %% [markdown]
# Each dot is an animal, the mean over the folds that test it; thin lines join the scores of one animal. The columns
# answer different questions, and none is *the* score. Within a session the decoder may learn what is special to the
# day: its baseline, its gain. Across animals it has to do without. A score should never be quoted without its column.
#
# Where the split is sound, the time-in-session baseline should score 0.5; where it does not, behaviour drifts in the
# same way each time, and a decoder of slow activity profits from it. Under random windows even time in session scores:
# running comes in bouts, and a test frame inside a bout whose other frames were trained on is no test.

# %%
means = by_animal.pivot_table("score", index="claim", columns="decoder", sort=False)
means["animals"] = by_animal.groupby("claim")["animal"].nunique()
tables.show(means.reset_index())

# %% [markdown]
# ## Choosing without looking
#
# Every choice is a fit: of the preprocessing, of the decoder, of the epoch, of the threshold. Here two ways of
# preprocessing stand for such a choice. For each test animal both are tried on the other animals, each of which
# validates once; the better one is taken, with the threshold that did best there. Only then is the test animal
# looked at. The score is the mean of its runs: one number an animal, as many as there are animals.

# %%
asked = {name: ("logistic", Traces({"name": name, **base}, spec))
         for name in candidates.split(",")}
inside, statement = nested.attempt(
    chapter.dataset, asked, settings, chapter.store, jobs or None, task)
print(statement)
tables.show(inside)

# %% [markdown]
# ## What this does not show
#
# - **Not that the published score is a leak.** Random windows *can* give as much from nothing; how much of a given
#   score they gave cannot be known without the data. Chapter by chapter this book reports the score that survives.
# - **Not that the gap is always enough.** Drift that lasts the whole session crosses every gap. Beside each score
#   within a session belongs the time-in-session baseline, and a null that keeps the drift.
# - **Not how far apart the columns lie in real cortex.** On simulated data the differences between sessions and
#   animals were put there by the simulation.
# - **Declarations are believed.** The audit checks what a step declares. Of code whose reach is unknown, change the
#   test frames, run it again, and see whether anything in the training set moved.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card is the
# `.card.json` beside the executed notebook.

# %%
is_leaky = from_nothing["scheme"] == "random windows"
marked = from_nothing.assign(mark=np.where(is_leaky, " LEAKY", ""))
scores = [
    cards.table_scores(
        marked, "balanced_accuracy", "{decoder}", "balanced_accuracy",
        unit="draws of nothing, {scheme}{mark}"),
    cards.table_scores(by_animal, "score", "{decoder}", unit="animals, {claim}"),
    nested.card_scores(inside)]
null = "none on these data; unrelated data through the same kinds of split"
card = chapter.card(experiments.values(), null=null, scores=scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
