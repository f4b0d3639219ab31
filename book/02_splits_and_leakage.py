# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where does a score of 0.85 come from when there is nothing to find?
#
# **You will learn** how a decoder scores 0.85 on data without any relation, what each leak contributes, how an audit
# refuses such a split, and how far apart the scores of one decoder lie within a session, across sessions and across
# animals.
#
# **Data** first traces and labels that are independent by construction; then any data set of the manifest with a run
# label, by default simulated: 5 animals, 50 ROIs.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about two minutes on 2 cores; paper: an
# hour (64 sessions of 18,000 frames, every regime).
#
# **Reproduces** the split of Mirzaee, Chang, Latifi 2025: windows at every frame, assigned at random. **Adds** the
# same score from nothing, the leak taken apart, the audit, three claims in one figure, a decoder that sees only the
# clock, and a choice among decoders that never looks at the test animal.

# %%
from calcium_decoding import splits
from calcium_decoding.experiments import Traces, nested
from calcium_decoding.models.training import TrainingSettings
from calcium_decoding.plotting import style
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapter import start
from decoding_book.chapters import by_regime, leakage, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 1  # seed of everything random
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
embargo_times = 2.0  # embargo between blocks, autocorrelation times of running
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("02_splits_and_leakage", globals())

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
# Here it is, out of nothing: 0.85 with the parameters above. No decoder did anything wrong; a *nearest neighbour*
# (1-NN) simply looks for the training window most like the test window. The last column says why it finds one with
# the right label: *every* test window shares frames with a training window. Its neighbour one frame further on holds
# 31 of the same 32 frames, and the same label.
#
# ## Taken apart
#
# The same data, split in four ways. *Random pieces* are runs of 64 frames assigned at random, with windows
# inside them: training and test share no frame but lie side by side. *Last part* tests on the last 15 %, without and
# with a gap.

# %%
fig, (ax,) = style.panels(1, width=7, height=4)
ax = leakage.leak_schemes(from_nothing, ax)

# %% [markdown]
# The same in fine steps: the nearest neighbour may use only training windows that are at least so many frames away in
# time.

# %%
by_distance = leakage.score_by_distance(seed, draws, unrelated_frames)
fig, (ax,) = style.panels(1, width=7, height=4)
ax = leakage.plot_score_by_distance(by_distance, ax)

# %% [markdown]
# What each leak adds to the score of the nearest neighbour, from the soundest split upwards:

# %%
tables.show(leakage.contributions(from_nothing))

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
tables.show(leakage.verdicts(seed, unrelated_frames))

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
tau = splits.embargo_frames(chapter.dataset, 1)
tau_s = tau / chapter.rate_hz
print(f"autocorrelation time of running: {tau} frames, {tau_s:.1f} s")

# %%
regimes = ["blocked", "leave_one_session_out", "nested_animals", "random_windows"]
options = {"blocked": {"n_blocks": n_blocks, "embargo_times": embargo_times},
           "random_windows": {"seed": seed}}
experiments, results, reasons = by_regime.run(
    chapter.dataset, regimes, spec, {"name": recipe, **base}, settings,
    models.split(","), options, store=chapter.store, jobs=jobs or None)
tables.show(by_regime.table(experiments, results, reasons))

# %%
by_animal = by_regime.animal_scores(experiments, results)
fig, (ax,) = style.panels(1, width=9, height=4.2)
ax = by_regime.figure(by_animal, ax)

# %% [markdown]
# Each dot is an animal, the mean over the folds that test it; thin lines join the scores of one animal. The columns
# answer different questions, and none is *the* score. Within a session the decoder may learn what is special to the
# day: its baseline, its gain. Across animals it has to do without. A score should never be quoted without its column.
#
# Where the split is sound, the time-in-session baseline should score 0.5; where it does not, behaviour drifts in the
# same way each time, and a decoder of slow activity profits from it. Under random windows even time in session scores:
# running comes in bouts, and a test frame inside a bout whose other frames were trained on is no test.

# %%
tables.show(by_regime.mean_table(by_animal))

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
    chapter.dataset, asked, settings, chapter.store, jobs or None)
print(statement)
tables.show(inside)

# %% [markdown]
# ## What this does not show
#
# - **Not that the published score is a leak.** Random windows *can* give 0.85 from nothing; how much of a given score
#   they gave cannot be known without the data. Chapter by chapter this book reports the score that survives.
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
scores = [*leakage.card_scores(from_nothing), *by_regime.card_scores(by_animal),
          *nested.card_scores(inside)]
null = "none on these data; unrelated data through the same kinds of split"
card = chapter.card(experiments.values(), null=null, scores=scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
