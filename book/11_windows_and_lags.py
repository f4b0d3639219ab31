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
import numpy as np
import pandas as pd

from calcium_decoding.evaluation import cards, statistics
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons, style
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.signals import indicator_kernel
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
seeds = 1  # trainings of each condition, with seeds from this one on
train_every = 4  # train and validate on one window in so many; 1: all
epochs = 2  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 32  # windows a step
learning_rate = 0.005  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("11_windows_and_lags", globals())
experiment = chapter.plan(n_folds=sweep_folds)
rate_hz = chapter.rate_hz
some = {"n_folds": sweep_folds, "say": False}
pool = {"store": chapter.store, "jobs": jobs or None}

# %% [markdown]
# The lines above describe the window that the study used: half a second on either side of the labelled frame.
# Everything below changes one thing about it. Each condition is trained anew on the same folds, and the folds are
# spread over the test animals: three of five in the demo, one fold each.
#
# First the null, for scale: the same decoder on sessions whose behaviour was swapped. It is one draw, whose folds are
# the grey ticks at the left of the figures.

# %%
nulls, null_statement = compare.run_null(
    chapter.plan, chapter.dataset, model, seed, n_folds=sweep_folds, **pool)
print(null_statement)

# %% [markdown]
# ## How long?
#
# Windows of several lengths, all centred on the labelled frame (Fig 5B). A dot is a fold, its colour the animal it
# was tested on. First the stored training:

# %%
stored = chapter.stored("lengths")
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.table(stored))

# %%
tables.show(compare.short_tests(stored))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
halves = {f"±{int(half) / rate_hz:.2f} s": int(half)
          for half in half_lengths.split(",")}
asked = {name: chapter.plan(spec=WindowSpec(half, half), **some)
         for name, half in halves.items()}
known = {}
if model == "gru" and rate_hz == 30:  # as in the study, which saved these folds
    known = {name: ("roi_rnn_window_length", "GRU", f"half_window_{half}_frames")
             for name, half in halves.items() if half in (5, 10, 15, 20, 25, 30)}
lengths = compare.compare(
    asked, [model], known, label="lengths", seeds=seeds, **pool)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=9, height=3.8)
comparisons.strip(lengths, ax, nulls=nulls)
label = ax.set_xlabel("frames on either side of the labelled one, in seconds")

# %% tags=["hide-output"]
tables.show(lags.look_ahead_table(lengths))

# %% [markdown]
# Open diamonds, where there are any, are the folds that the study saved. On real mice only the shortest window was
# worse; from a third of a second on, length made no difference.
#
# The next table tests all pairs. The rank-sum p and its stars are the study's test over folds, with Holm's
# correction for the number of pairs. It takes folds as independent, but they share animals and training data, so its
# p says too much about animals. Of few folds it cannot be small: it is printed only where the numbers of folds and of
# pairs allow one below 0.05, as the 20 folds of profile *paper* do. The published p is that of the study's own six
# lengths, whatever is shown here.
#
# The columns from `over animals` on are ours: differences of matched folds, averaged within each test animal, and a
# t interval over animals. Two-sided, the exact sign-flip p needs six animals to be below 0.05; with fewer it is not
# printed. Read the interval. A length whose training has not converged is not compared.

# %% tags=["hide-output"]
tables.show(compare.short_tests(lengths))

# %% [markdown]
# ## Which side, and how late may the answer come?
#
# A window of both sides gives its answer only when the future part has been seen. Here the same number of frames lies
# on both sides, all in the past, or all in the future; the short windows have the same half length as the centred
# one, and only one side of it.
#
# The window is not all. The published preprocessing subtracts a *centred* moving mean and scales each recording by
# its minimum and maximum, so whatever the window, an answer needs the whole session. A causal filter changes both: it
# uses a trailing mean and the scale of the training frames. Each change also stands by itself, so that what the causal
# filter costs can be told apart. Only the last row looks nowhere ahead.

# %%
stored = chapter.stored("sides")
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(stored, ax)

# %%
tables.show(compare.short_tests(stored, against="both sides"))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
total = past_frames + future_frames
shapes = {"both sides": (past_frames, future_frames), "past only": (total, 0),
          "future only": (0, total), "past only, short": (past_frames, 0),
          "future only, short": (0, future_frames)}
asked = {name: chapter.plan(spec=WindowSpec(*shape), **some)
         for name, shape in shapes.items()}
if experiment.recipe["name"] == "published":
    for change, other in (("trailing mean", "trailing"),
                          ("scale of training", "centred_scaled"),
                          ("causal filter", "causal")):
        asked[f"both sides, {change}"] = chapter.plan(
            spec=WindowSpec(*shapes["both sides"]), recipe=other, **some)
    asked["past only, causal filter"] = chapter.plan(
        spec=WindowSpec(*shapes["past only"]), recipe="causal", **some)
one_sided = compare.compare(
    asked, [model], label="sides", seeds=seeds, **pool)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.strip(one_sided, ax, nulls=nulls)

# %% tags=["hide-output"]
tables.show(lags.look_ahead_table(one_sided))

# %% tags=["hide-output"]
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
stored = chapter.stored("shifts")
fig, (ax,) = style.panels(1, width=9, height=3.8)
label = "label shift (s); positive: later behaviour"
ax = comparisons.curve(stored, ax, label)

# %%
tables.show(compare.short_tests(stored, against="0 s"))

# %% [markdown]
# The training of this page, on the data and with the effort that its parameters say:

# %% tags=["hide-output"]
frames = {f"{k / rate_hz:+.2f} s" if k else "0 s": k
          for k in sorted(map(int, shifts.split(",")))}
asked = {name: chapter.plan(spec=WindowSpec(
    past_frames, future_frames, label_shift_frames=k), **some)
    for name, k in frames.items()}
shift_s = {name: k / rate_hz for name, k in frames.items()}
shifted = compare.compare(
    asked, [model], values=shift_s, label="shifts", seeds=seeds, **pool)

# %% tags=["hide-output"]
fig, (ax,) = style.panels(1, width=9, height=3.8)
ax = comparisons.curve(shifted, ax, label, nulls=nulls)

# %% tags=["hide-output"]
tables.show(compare.short_tests(shifted, against="0 s"))

# %% [markdown]
# The study gives this figure without numbers. Its text says that every later label (+0.33 s and on) was significantly
# worse than none, that earlier labels were worse from -0.67 s on, and that -0.33 s was not. The family is all
# shifts against 0.
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
what = "running" if target == "run" else target
most = max(map(abs, frames.values()))
shift = np.arange(-most, most + 1)
tested = [lags.recordings_of(shifted[0], animal)
          for animal in shifted[0].by_animal()]
for label, colour, kernel in (
        (f"{what} with itself", style.NULL_COLOUR, (1.0,)),
        ("through the indicator", style.RUN, indicator_kernel(rate_hz))):
    r = np.array([lags.behaviour_correlation(recordings, shift, kernel, target)
                  for recordings in tested])
    ax.plot(shift / rate_hz, r.T, color=colour, lw=0.6, alpha=0.6)
    ax.plot(shift / rate_hz, r.mean(axis=0), color=colour, lw=2.2, label=label)
ax.axvline(0, color=style.NULL_COLOUR, ls=":", lw=1)
ax.set(xlabel="label shift (s)", ylabel=f"correlation with {what} (r)")
ax.legend(fontsize=8, loc="lower center")
ax = style.simulated_mark(ax, chapter.dataset)

# %% [markdown]
# ## Would the peak tell the truth?
#
# With that, a lag can be estimated: where the curve peaks, less where behaviour through the indicator peaks. We ask
# this of a decoder of single frames, because a window of a second blurs the curve by its own length and lets a
# network undo the indicator. And we ask it where we know the answer: in one simulated world all areas lead behaviour
# by half a second, in the other they follow by as much. Behaviour is the same in both.

# %%
sets, planted = {"this data": chapter.dataset}, {}
for world in ("lead", "lag"):
    settings = widefield.SimulationSettings(
        world=world, sessions_per_animal=3, seed=seed, frames_per_session=3000)
    sets[world] = widefield.dataset(settings)
    planted[world] = widefield.informative_areas(settings)["lag_s"][0]

# %%
curves = {}
for name, data in sets.items():
    asked = {f"{name} {shift}": chapter.plan(
        data, spec=WindowSpec(0, 0, label_shift_frames=k), **some)
        for shift, k in frames.items()}
    values = {f"{name} {shift}": s for shift, s in shift_s.items()}
    curves[name] = compare.compare(
        asked, ["logistic"], values=values, label=name, **pool)
peaks = {name: lags.peaks(curve) for name, curve in curves.items()}

# %%
fig, axes = style.stack(len(curves), height=2.9)
for ax, (name, found) in zip(axes, peaks.items(), strict=True):
    comparisons.curve(curves[name], ax, "")
    ax.set_title(name)
    alone = found["indicator_s"].mean()
    ax.axvline(alone, color=style.RUN, lw=1.5, ls="--", label="indicator alone")
    if name in planted:
        ax.set_title(f"world '{name}': planted lag {planted[name]:+.1f} s")
        ax.axvline(alone - planted[name], color=style.SIGNAL, lw=1.5, ls=":",
                   label="indicator and planted lag")
    ax.plot(found["peak_s"], np.full(len(found), ax.get_ylim()[0]), "^",
            color=style.DECODED, ms=7, alpha=0.7, label="peak of an animal")
    style.legend_beside(ax)
label = ax.set_xlabel("label shift (s)")

# %% [markdown]
# In the two worlds below, if all is well, the triangles (peaks of single animals) lie at the dotted line: the
# indicator's own peak moved by the simulated lag. The dashed line is where they would lie without any lag. Above stands
# the one-frame curve of the chapter's own data. Compare it with that of the window further up: the window sees half a
# second to either side, so a small shift should cost it little. Where that training has not converged, the page does
# not show whether it does.
#
# In the table a positive lag means that activity follows behaviour, a negative one that it leads. `low` and `high`
# are a 95 % t interval over animals, `error` is the estimate less the truth. In the last row the two worlds are
# subtracted, animal by animal, so whatever the indicator does cancels. The first row is the chapter's own data, which
# have no single truth: in the default simulation areas differ, from motor areas that lead by 0.2 s to visual ones
# that follow by 0.2 s.

# %%
lag_s = pd.DataFrame({name: found["lag_s"] for name, found in peaks.items()})
apart, rows = "lag less lead", []
lag_s[apart] = lag_s["lag"] - lag_s["lead"]
true = {**planted, apart: planted["lag"] - planted["lead"]}
for name, values in lag_s.items():
    values = values.dropna()
    row = {"data": name, "animals": len(values), "planted (s)": true.get(name)}
    if name in peaks:
        row["peak (s)"] = peaks[name]["peak_s"].mean()
        row["indicator alone (s)"] = peaks[name]["indicator_s"].mean()
    if len(values) > 1:
        row["lag (s)"], interval = values.mean(), statistics.t_interval(values)
        row |= {"low": interval.low, "high": interval.high}
    rows.append(row)
lag_table = pd.DataFrame(rows, columns=[
    "data", "animals", "peak (s)", "indicator alone (s)", "lag (s)", "low", "high",
    "planted (s)"])
lag_table["error (s)"] = lag_table["lag (s)"] - lag_table["planted (s)"]
tables.show(lag_table)

# %% [markdown]
# Read the column `error` before an estimate: part of it is the coarse grid of shifts and the few folds, part has a
# cause that more data do not cure. Areas do not simply follow running, they also jump at its onset and grow with speed,
# so what running drives peaks elsewhere than running seen through the indicator does. An interval over animals knows
# nothing of such an error and need not hold the truth. A real brain will not be kinder: how its areas follow running is
# not known. A lag of a tenth of a second should not be believed.

# %% [markdown]
# ## What this does not show
#
# - **Not independent evidence.** Folds share animals and training data, and windows of neighbouring frames share all
#   but one frame: a million windows are not a million observations. With five animals no two-sided exact test goes
#   below 1/16.
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
for name, each in peaks.items():
    if len(each):
        scores += cards.summarise(name, each["lag_s"], "lag (s)", "animals")[:1]
plans = [result.condition.experiment for result in found]
failed = compare.not_evaluable(found)
card = chapter.card(plans, failed, nulls, null_statement, scores, {
    "lengths": lengths, "sides": one_sided, "shifts": shifted})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
