# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How long must a decoder look, and does the brain lead or follow?
#
# **You will learn** how the length of the window and its side, past or future, change a score; how far each decoder
# looks ahead in all, preprocessing included; and how to read a label-shift curve: what part of it is behaviour's own
# smoothness, what part is the indicator's delay, and what is left for the brain.
#
# **Data** any data set with ROI traces and a run label, or another behaviour of 0 and 1, which `-p target NAME` decodes
# (the text says *running* for it); by default simulated: 5 animals, 50 ROIs. The last part always uses two simulated
# worlds whose lag is known.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about two minutes on 2 cores; paper, the
# published training on every fold: days on such a machine.
#
# **Reproduces** Figs 5B and 5C of Ajioka et al. 2024: a GRU on windows of six lengths, and with the label shifted by
# up to two seconds. **Adds** windows of one side, a row in which nothing looks ahead, a test over animals beside the
# test over folds, and lag curves against simulated lags.

# %%
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons, style
from calcium_decoding.preprocessing.windows import WindowSpec
from decoding_book.chapter import start
from decoding_book.chapters import lags, tables

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
model = "gru"  # decoder of windows
half_lengths = "5,10,15,30"  # half lengths of windows, frames, comma between
shifts = "-60,-30,-10,0,10,30,60"  # label shifts, frames
sweep_folds = 3  # folds of each condition, spread evenly; 0: all
train_every = 4  # train on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("11_windows_and_lags", globals())
experiment = chapter.plan(n_folds=sweep_folds)
some = {"n_folds": sweep_folds, "say": False}
pool = {"store": chapter.store, "jobs": jobs or None}

# %% [markdown]
# The lines above describe the window that the study used: half a second on either side of the labelled frame.
# Everything below changes one thing about it. Each condition is trained anew on the same folds, and the folds are
# spread over the test animals: three of five in the demo, one fold each.
#
# First the null, for scale: the same decoder on sessions whose behaviour was swapped. Its mean and SD are the grey
# band in the figures.

# %%
nulls, null_statement = compare.run_null(
    chapter.plan, chapter.dataset, model, seed, n_folds=sweep_folds, **pool)
print(null_statement)

# %% [markdown]
# ## How long?
#
# Windows of several lengths, all centred on the labelled frame (Fig 5B). A dot is a fold, its colour the animal it
# was tested on.

# %%
halves = [int(half) for half in half_lengths.split(",")]
asked = {f"±{half / chapter.rate_hz:.2f} s": chapter.plan(
    spec=WindowSpec(half, half), **some) for half in halves}
lengths = compare.compare(
    asked, [model], lags.published_lengths(asked, model), label="lengths", **pool)

# %%
fig, (ax,) = style.panels(1, width=9, height=3.8)
comparisons.strip(lengths, ax, nulls=nulls)
label = ax.set_xlabel("frames on either side of the labelled one, in seconds")

# %%
tables.show(lags.look_ahead_table(lengths))

# %% [markdown]
# Open diamonds, where there are any, are the folds that the study saved. On real mice only the shortest window was
# worse; from a third of a second on, length made no difference.
#
# The next table tests all pairs. The rank-sum p and its stars are the study's test over folds, with Holm's
# correction for the number of pairs. It takes folds as independent, but they share animals and training data, so its
# p says too much about animals. It also cannot say much about few folds: with five against five the smallest p is
# 0.012, with three against three 0.1, so after correction for 15 pairs nothing can be starred in the demo. With the 20
# folds of profile *paper* it can.
#
# The columns from `over animals` on are ours: differences of matched folds, averaged within each test animal, and a
# t interval over animals. The exact sign-flip p cannot be less than 1/16 with five animals, 1/4 with three,
# however large the effect. Read the interval.

# %%
tables.show(compare.short_tests(lengths))

# %% [markdown]
# ## Which side, and how late may the answer come?
#
# A window of both sides gives its answer only when the future part has been seen. Here the same number of frames lies
# on both sides, all in the past, or all in the future; the short windows have the same half length as the centred
# one, and only one side of it.
#
# The window is not all. The published preprocessing subtracts a *centred* moving mean and scales each recording by
# its minimum and maximum, so whatever the window, an answer needs the whole session. The conditions with a causal
# filter use a trailing mean and the scale of the training frames instead. Only the last row looks nowhere ahead.

# %%
total = past_frames + future_frames
shapes = {"both sides": (past_frames, future_frames), "past only": (total, 0),
          "future only": (0, total), "past only, short": (past_frames, 0),
          "future only, short": (0, future_frames)}
asked = {name: chapter.plan(spec=WindowSpec(*shape), **some)
         for name, shape in shapes.items()}
if lags.look_ahead_ms(experiment)[1] > 0:
    for name in ("both sides", "past only"):
        asked[f"{name}, causal filter"] = chapter.plan(
            spec=WindowSpec(*shapes[name]), recipe="causal", **some)
one_sided = compare.compare(asked, [model], label="sides", **pool)

# %%
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(one_sided, ax, nulls=nulls)

# %%
tables.show(lags.look_ahead_table(one_sided))

# %% [markdown]
# Against both sides, by animal:

# %%
tables.show(compare.short_tests(one_sided, against="both sides"))

# %% [markdown]
# Calcium is late: what the animal does now shows fully in the frames that follow. The future side may therefore win
# without any neuron looking ahead, and a short window of the past may lose although the brain decided long before.
#
# ## Earlier and later behaviour
#
# Now the window stays and the label moves (Fig 5C): at +1 s the decoder says what the animal will do a second after
# the middle of its window, at -1 s what it did a second before. Windows and labels must both lie in the recording, so
# large shifts have a few windows less. Thin lines are test animals.

# %%
frames = sorted(int(shift) for shift in shifts.split(","))
shifted = compare.run(lags.label_shifts(
    chapter.plan, past_frames, future_frames, frames, model, n_folds=sweep_folds),
    label="shifts", **pool)

# %%
fig, (ax,) = style.panels(1, width=9, height=3.8)
label = "label shift (s); positive: later behaviour"
ax = comparisons.curve(shifted, ax, label, nulls=nulls)

# %%
tables.show(compare.short_tests(shifted, against="0 s"))

# %% [markdown]
# The study gives this figure without numbers. Its text says that every later label (+0.33 s and on) was significantly
# worse than none, that earlier labels were worse from -0.67 s on, and that -0.33 s was not. The family is all
# shifts against 0; few folds cannot be starred here either.
#
# ## How much of the curve is behaviour's own?
#
# A mouse that runs now runs, most likely, in half a second too. Even a decoder that knew the present perfectly, and
# nothing else, would say the future and the past of such behaviour quite well. The grey curves show it: running
# correlated with itself, shifted. A label-shift curve is smeared by this autocorrelation, so **its width is no
# measure of memory or plan**.
#
# The orange curves are what comes next: running seen through the indicator alone (a rise of 0.05 s and a decay of
# 0.35 s, GCaMP6f), without any lag of neurons. They are smeared, and their peak lies at *earlier* behaviour. Activity
# in perfect step with behaviour would look as if it followed.

# %%
fig, (ax,) = style.panels(1, width=7, height=3.4)
most_s = max(map(abs, frames)) / chapter.rate_hz
ax = lags.behaviour_alone(shifted[0], most_s, ax)

# %% [markdown]
# ## Would the peak tell the truth?
#
# With that, a lag can be estimated: where the curve peaks, less where behaviour through the indicator peaks. We ask
# this of a decoder of single frames, because a window of a second blurs the curve by its own length and lets a
# network undo the indicator. And we ask it where we know the answer: in one simulated world all areas lead behaviour
# by half a second, in the other they follow by as much. Behaviour is the same in both.

# %%
worlds = lags.worlds(seed)
planted = {world: lags.planted_lag_s(world) for world in worlds}
sets = {"this data": chapter.dataset, **worlds}
curves = lags.curves(chapter.plan, sets, frames, n_folds=sweep_folds, **pool)

# %%
fig, axes = style.stack(len(worlds), height=2.9)
for ax, world in zip(axes, worlds, strict=True):
    lags.lag_curve(curves[world], ax, planted[world])
    title = ax.set_title(f"world '{world}': planted lag {planted[world]:+.1f} s")

# %% [markdown]
# If all is well, the triangles (peaks of single animals) lie at the dotted line: the indicator's own peak moved by the
# simulated lag. The dashed line is where they would lie without any lag.
#
# In the table a positive lag means that activity follows behaviour, a negative one that it leads. `low` and `high`
# are a 95 % t interval over animals, `error` is the estimate less the truth. In the last row the two worlds are
# subtracted, animal by animal, so whatever the indicator does cancels. The first row is the chapter's own data, which
# have no single truth: in the default simulation areas differ, from motor areas that lead by 0.2 s to visual ones
# that follow by 0.2 s.

# %%
lag_table = lags.table(curves, planted)
tables.show(lag_table)

# %% [markdown]
# Here is the one-frame curve of the chapter's own data. Compare its pointed top with the flat one of the window above:
# the window sees half a second to either side, so a small shift costs it nothing.

# %%
fig, (ax,) = style.panels(1, width=9, height=3.4)
ax = lags.lag_curve(curves["this data"], ax)

# %% [markdown]
# With the default settings and four seeds, eight estimates were off by 0.01 to 0.06 s, one frame or two, all towards
# leading; the difference of the two worlds by 0.03 s at most. The error has a cause: areas do not simply follow
# running, they also jump at its onset and grow with speed. Everything that running drives in these worlds, seen
# through the indicator without any lag, peaks at -0.20 s, while running alone peaks at -0.26 s. An interval over
# animals knows nothing of such an error, and three of the eight did not hold the truth. A real brain will not be
# kinder: how its areas follow running is not known. A lag of a tenth of a second should not be believed.

# %% [markdown]
# ## What this does not show
#
# - **Not independent evidence.** Folds share animals and training data, and windows of neighbouring frames share all
#   but one frame: a million windows are not a million observations. With five animals no exact test goes below 1/16.
# - **Not a memory or a plan.** A score at +1 s says that behaviour is smooth, unless it beats what the smoothness of
#   behaviour gives; this chapter shows the two side by side and does not test it.
# - **Not a lag of neurons on real data.** The indicator's kinetics in that animal and area are not known, and blood
#   and movement follow running with delays of their own. The two worlds have neither.
# - **Not a lag of single areas.** A decoder over all areas peaks where their mixture does.
# - **Not a tuned comparison.** All lengths get the same training; a longer window may need more.

# %% [markdown]
# ## Folds without a score
#
# A test stretch without running, or without rest, has no AUC; it is named here and left out of the means.

# %%
found = [*lengths, *one_sided, *shifted]
found += [result for curve in curves.values() for result in curve]
tables.show(tables.not_evaluable_table(compare.not_evaluable(found)))

# %% [markdown]
# ## Result card

# %%
scores = compare.card_scores([*lengths, *one_sided, *shifted])
plans = [result.condition.experiment for result in found]
card = chapter.card(plans, compare.not_evaluable(found), nulls, null_statement,
                    [*scores, *lags.card_scores(curves)])
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
