# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Frame by frame: can a decoder run while the animal does?
#
# **You will learn** what a decoder has to give up so that it looks at no later frame; how long a frame takes it, with
# the tail that a mean hides; why look-ahead and computing are two delays; and how often a trigger on decoded onsets
# comes too late, for nothing or not at all.
#
# **Data** a data set with running, **simulated** unless you name another. Frames are replayed, none comes from a
# camera, and the closed loop closes on nothing: a trigger changes no behaviour here.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: four minutes on 2 cores; paper: all folds
# of a longer training.
#
# **Reproduces** nothing: Ajioka et al. name near-real-time decoding as what such decoders are for, and do not do it.
# **Adds** decoders that take one frame at a time, and give what they give on the whole recording, with their latency.

# %%
from calcium_decoding.evaluation.onsets import EventSettings
from calcium_decoding.experiments import compare
from calcium_decoding.plotting import comparisons, latency_figure, style
from decoding_book.chapter import start
from decoding_book.chapters import lags, tables
from decoding_book.chapters.real_time import costs

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 123  # seed of everything random
regime = "auto"  # split: auto, or a name in splits.REGIMES
recipe = "auto"  # not used here: filters are what is compared
baseline_frames = 1000  # length of the moving baseline, frames
past_frames = 15  # frames of a window before the labelled one
future_frames = 15  # frames of a window after the labelled one
look_aheads = "15,5,0"  # frames after the decoded one that causal filters go with
n_blocks = 5  # blocks of a recording in the blocked split
target = "run"  # behaviour that is decoded: 0 and 1
model = "gru"  # decoder of windows
folds = 5  # folds of every comparison, spread evenly; 0: all
null_folds = 3  # folds the null is refitted on, spread evenly; 0: all
stream_s = 60.0  # how much of a recording is streamed, s
hold_frames = 3  # lost frames in a row that the last one may stand in for
threshold = 0.5  # a trigger comes where the decoded probability rises above it
hold_s = 0.2  # decoded running has to last so long before a trigger, s
draws = 20  # shifted traces in the null of the trigger
train_every = 2  # train and validate on one window in so many; 1: all
epochs = 14  # epochs over the training windows
min_updates = 600  # pass more often until so many steps were taken
batch_size = 64  # windows a step
learning_rate = 0.004  # step size of Adam
device = "cpu"  # cpu, cuda, or auto
jobs = 0  # folds at a time; 0: one a processor

# %%
chapter = start("52_real_time", globals())
pool = {"store": chapter.store, "jobs": jobs or None}
experiments = costs.ladder(chapter, folds)

# %% [markdown]
# ## What causality costs in score
#
# Two things look ahead: the baseline, if it is centred, and the half of the window that comes after the decoded frame.
# A centred baseline of many seconds cannot be had while frames come in, and a stream refuses it by name. A window can:
# its value is right, and late. The shorter its part ahead, the sooner the value and the less it has seen.
#
# In the null each signal gets the behaviour of another session of the same animal.

# %%
found = compare.compare(experiments, [model], label="look-ahead", **pool)
null, statement = compare.run_null(
    chapter.plan, chapter.dataset, model, seed, n_folds=null_folds,
    recipe="causal", **pool)
print(statement)
tables.show(lags.look_ahead_table(found), said=compare.warning(found))

# %%
fig, (ax,) = style.panels(1, width=9, height=4)
ax = comparisons.strip(found, ax, nulls=null)

# %%
tables.show(compare.short_tests(found, against=found[-1].name))

# %% [markdown]
# ## What the machine costs in time
#
# The decoder of the first fold, with as much look-ahead as the others, takes a recording that it was not trained on,
# frame by frame: running baseline, scale of the training, and of the recurrent network the states of all windows that
# the frame lies in. The values are those of the whole recording, but for rounding.

# %%
fitted = experiments[found[1].name].fitted(model, 0, chapter.store)
tested = set(found[1].folds[0].recordings)
recording = next(r for r in chapter.dataset.recordings if r.id in tested)
values, timed = costs.streamed(fitted, recording, stream_s)
print(f"{len(values)} values; the largest difference from the whole recording is "
      f"{costs.as_offline(values, fitted, recording):.1g}")
print(", ".join(f"{name} {n}" for name, n in timed["frames"].items()))
print(", ".join(f"{name} {what}" for name, what in timed["machine"].items()))
latency = costs.latency_table(timed)
tables.show(latency)

# %%
fig, (ax,) = style.panels(1, width=9, height=3)
ax = latency_figure(timed, ax)

# %% [markdown]
# A mean says nothing here: the frame that comes too late is in the tail, and what else the machine does decides about
# it. Look-ahead is apart, in the title: no faster machine takes it away. This is one process that waits for nobody.
# `calcium-decoding stream serve` and `stream replay` add what lies between two programs, on a timetable that does not
# wait for a late decoder, and write the same card.
#
# ## The trade
#
# The delay of a value is its look-ahead and the computing (99th percentile).

# %%
compute_ms = timed["latency"][-1]["p99_ms"]
fig, (ax,) = style.panels(1, width=8, height=3.5)
for result in found[1:]:
    spec = result.condition.experiment.spec
    delay = spec.look_ahead_ms(chapter.rate_hz) + compute_ms
    scores = list(result.by_animal().values())
    ax.plot([delay] * len(scores), scores, "o", color=style.DECODED, alpha=0.6)
ax.set(xlabel="look-ahead and computing (ms)", title=model,
       ylabel="score (a dot is a test animal)")
shown = [fold for result in found[1:] for fold in result.folds]
ax = style.simulated_mark(style.warned_of(ax, shown), chapter.dataset)

# %% [markdown]
# ## Frames that get lost
#
# A window with a hole in it is not decoded: one lost frame silences a window's length of values. Or the last frame
# stands in for it, which is counted, and the value is a little off.

# %%
tables.show(costs.losses(
    fitted, recording, stream_s, (0.001, 0.01, 0.05), (0, hold_frames), seed))

# %% [markdown]
# ## A trigger on decoded onsets
#
# A trigger comes where the decoded probability has stayed above the threshold for a moment (`hold_s`). Its delay counts
# from the onset of running, look-ahead and computing included; a false alarm is a trigger at rest, away from every
# onset. In the null the decoded traces are shifted along their recordings, by ten seconds at least where these are long
# enough: so many onsets are "found" by chance.

# %%
settings = EventSettings(threshold, hold_s=hold_s)
loop = costs.closed_loop(
    found[1:], settings, compute_ms, draws, seed)
tables.show(loop, decimals=2, said=compare.warning(found[1:]))

# %% [markdown]
# ## What this does not show
#
# - **Not a closed loop.** The animal does not know of the trigger. An experiment that acts on it changes the behaviour
#   that the decoder was trained on.
# - **Not the camera and not the motion correction.** Frames come as traces of ROIs; exposure, read-out, registration
#   and extraction come before, and take time of their own.
# - **Not your machine.** Times are of the one that the card names, with whatever else it did.
# - **Not that a trigger finds the cause.** It follows whatever the decoder follows: blood, movement, arousal.
#
# ## Result card

# %%
card = chapter.card(experiments.values(), null=statement, nulls=null,
                    scores=[found, costs.loop_scores(loop)],
                    tables={"latency": (latency, "")})
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
