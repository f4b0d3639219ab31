# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does a decoder score when there is nothing to decode?
#
# **You will learn** why chance is not always one half, what six nulls keep and what they cut, how often each of them
# errs on data without a link, and what five animals can and cannot show.
#
# **Data** one simulated animal that drifts and has no link; then any data set of the manifest with two whole sessions
# an animal and a run label, or another behaviour of 0 and 1, which `-p target NAME` decodes; by default simulated: 5
# animals, 50 ROIs. The text says *running* for what is decoded.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about a minute on 2 cores;
# paper: a few minutes (64 sessions of 18,000 frames, 1,000 refits for each of two nulls and five mice). The measured
# level is stored with the book; its hours are not spent again.
#
# **Reproduces** the idea of the null of Ajioka et al. 2024, sessions of labels permuted within a mouse. **Adds** a
# thousand draws in place of one, p-values, a decoder that sees only the time in session, nulls that fail, and their
# measured rates of false alarms.

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from calcium_decoding.evaluation import cards, linear_null, nulls
from calcium_decoding.plotting import style
from calcium_decoding.simulation import widefield
from decoding_book.chapter import start
from decoding_book.chapters import chance, null_level, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 2  # seed of everything random
target = "run"  # behaviour that is decoded: 0 and 1
example_sessions = 12  # sessions of the example animal
example_frames = 3000  # frames of each of them
recipe = "published"  # preprocessing, applied to whole recordings
baseline_frames = 1000  # length of the moving baseline, frames
draws = 1000  # draws of each null
jobs = 0  # threads; 0: one a processor

# %%
chapter = start("03_chance_and_nulls", globals())
task = chapter.task
what = "running" if task.name == "run" else task.name
print(f"decoded  {what}, on the data set; the example animal below runs")

# %% [markdown]
# ## A mouse without a link
#
# Here is an animal in which brain and running know nothing of each other. But it tires: it runs less towards the end
# of each session. And its signal bleaches: it sinks towards the end of each session. Below its mean activity stands
# when it ran, and when it would have run by one draw of each null.

# %%
example = widefield.dataset(widefield.SimulationSettings(
    world="drift_only", seed=seed, animals=1, sessions_per_animal=example_sessions,
    frames_per_session=example_frames))
first = example.recordings[0]
rows, labels = [(0, first.run)], ["mean activity", "as recorded"]
for name in ("repairing", "linear_shift", "circular_shift", "frame_shuffle"):
    drawn = nulls.NULLS[name](example, seed).recordings[0].run
    offset = nulls.shift_reach(example) if name == "linear_shift" else 0
    rows.append((offset, drawn))
    labels.append(nulls.NULLS[name].title)

# %%
fig, (ax,) = style.panels(1, width=9.5, height=4.2)
time_s, mean = np.arange(first.n_frames) / first.rate_hz, first.signal.mean(axis=1)
ax.plot(time_s, 0.2 + 1.6 * (mean - mean.min()) / np.ptp(mean), color=style.SIGNAL)
for row, (offset, run) in enumerate(rows):
    place, colour = (-row - 0.8, 0.6), style.DECODED if row else style.RUN
    bouts = [(offset + begin, end - begin) for begin, end in style.stretches(run)]
    ax.broken_barh(np.array([(offset, len(run))]) / first.rate_hz, place,
                   color=style.NULL_COLOUR, alpha=0.12, lw=0)
    ax.broken_barh(np.array(bouts) / first.rate_hz, place, color=colour, lw=0)
ax.set_yticks([1.0] + [-row - 0.5 for row in range(len(rows))], labels)
ax.tick_params(axis="y", length=0)
ax.spines["left"].set_visible(False)
ax.set_title(f"{first.id}: when it runs")
ax = style.simulated_mark(style.time_axis(ax, time_s), first)

# %% [markdown]
# Session permutation gives this signal the running of *another* session: it, too, has most of its runs early. The
# shifts move this session's own running. The linear shift drops what no longer overlaps, and every shift is compared
# on the same middle half; the circular shift wraps, so that the busy beginning may land at the end. The frame shuffle
# leaves nothing but the number of running frames.
#
# A linear decoder is trained on all sessions but one, frame by frame, and tested on that one; the score is the mean
# AUC over sessions. It is fitted anew, in every fold, for every draw of a null. None of this is approximated: sums of
# squares are kept by session, and a thousand refits cost seconds.

# %%
scored = [
    linear_null.refit(example, "mouse 1", name, draws, seed, jobs=jobs or None)
    for name in ("permuting", "circular_shift", "frame_shuffle")]
fig, axes = style.panels(3, width=11.5, height=3.4, sharex=True)
for ax, found in zip(axes, scored, strict=True):
    sns.histplot(found.null_aucs, binwidth=0.01, ax=ax, color=style.NULL_COLOUR)
    ax.axvline(found.observed, color=style.DECODED, lw=2.5, label="observed")
    ax.axvline(0.5, color=style.SIGNAL, ls=":", lw=1)
    title = f"{nulls.NULLS[found.null].title}\np = {found.p_value():.3f}"
    ax.set(xlabel="AUC (mean over sessions)", ylabel="draws", title=title)
    ax = style.simulated_mark(ax, example)
legend = axes[0].legend(fontsize=8)

# %% [markdown]
# The decoder scores well above one half **with nothing to decode**: it reads the time in session from the bleaching,
# and that tells when this animal runs. It works in a session it has never seen, since all sessions drift alike.
# Cross-validation does not help here.
#
# What helps is a null that drifts as well. When whole sessions are exchanged, the null scores about as high as the
# data, and the p-value raises no alarm. The circular shift tears the drift apart, its null lies at one half, and
# what it calls a discovery is bleaching. The frame shuffle, besides, forgets that running comes in bouts: a session of
# 3,000 frames holds a handful of bouts, not 3,000 independent frames.
#
# | null | what to use it for |
# |---|---|
# | session permutation without fixed points (a derangement) | to show what nothing scores: no draw holds a real pair |
# | session permutation, any order | for the p-value; the reason comes below |
# | linear shift | with a single session, if running or brain is known not to drift |
# | circular shift, frame shuffle | not for testing |

# %%
tables.show(pd.DataFrame(
    [(x.title, x.keeps, x.cuts, x.fails) for x in nulls.NULLS.values()],
    columns=["null", "keeps", "cuts", "fails"]))

# %% [markdown]
# ## Every animal of the data set
#
# Now the data set named above, each animal by itself. The grey bar holds 95 % of the scores of permuted sessions;
# the cross is the same decoder when all it sees is the time since the session began. Preprocessing is applied to
# whole recordings first, and standardising is left to the decoder.

# %%
pipeline = {"name": recipe, "baseline_frames": baseline_frames,
            "rate_hz": chapter.dataset.recordings[0].rate_hz}
animals, left_out = chance.score_animals(
    chance.with_label(chapter.dataset, task), draws, seed, pipeline, jobs or None)

# %%
fig, (ax,) = style.panels(1, width=8.5, height=3.8)
for x, one in animals.iterrows():
    ax.vlines(x, one["null low"], one["null high"], color=style.NULL_COLOUR, lw=9,
              alpha=0.4, label=f"null: 95 % of {draws} draws")
    ax.plot(x, one["null mean"], "_", color=style.NULL_COLOUR, ms=14, mew=2)
    ax.plot(x, one["AUC"], "o", color=style.DECODED, ms=8, label="linear decoder")
    ax.plot(x + 0.14, one["time only"], "x", color=style.RUN, ms=7, mew=2,
            label="time in session only")
ax.axhline(0.5, color=style.SIGNAL, ls=":", lw=1)
ax.set_xticks(range(len(animals)), list(animals.get("animal", [])))
ax.set(xlim=(-0.6, max(1, len(animals)) - 0.4),
       ylabel=f"AUC of {what} (mean over sessions)",
       title="" if len(animals) else "no animal has two whole sessions")
style.legend_beside(ax)
ax = style.simulated_mark(ax, chapter.dataset)

# %%
shown = animals.drop(columns=["null low", "null high"], errors="ignore")
tables.show(shown)

# %% [markdown]
# `p = (b + 1) / (n + 1)`, where b of n draws score as high as the data: never zero, since the data are one of the
# ways the sessions could have been paired (Phipson & Smyth 2010). The columns *least p* say what no number of draws can
# get below: four sessions can be paired in 24 ways, 9 of them with no session in place. More draws are no more
# evidence; more sessions are.
#
# Animals without a score, if any, and all animals together:

# %%
for animal in left_out:
    print(f"{animal.session}: {animal.reason.replace('running', what)}")
print(chance.over_animals(animals))

# %% [markdown]
# ## What five animals can show
#
# A p-value of one animal is about *that* animal: does its running go with its activity? About mice in general, an
# animal is one number. The hypothesis has a sign, above the null, so the test is one-sided: of five numbers that all
# lie above their nulls, 1 of 32 assignments of signs is as extreme as theirs, and no effect, however large, has a
# smaller p. Where the sign is not known beforehand it is 2 of 32, and five animals cannot reach 0.05 at all; nor can
# four or fewer on one side. This book prints no p that cannot be below 0.05, but the difference with its interval.
# Twenty folds of five animals, or 64 sessions, do not change it: report the five numbers.
#
# ## Can these p-values be trusted?
#
# A test at 5 % should be wrong in 5 % of data sets without a link. Whether it is can be measured: simulate many
# animals without a link, test each, count. In one world nothing drifts; in the other brain and running drift within
# every session, as above. Dots are shares of data sets, bars their exact 95 % intervals.

# %%
level = null_level.NullLevel.load(cards.stored_folder() / "null_level.json")
print(f"measured with seed {level.seed}, {level.draws} draws of a null a data set")
print(f"by version {level.code_version}")
if level.code_hash == null_level.code_hash():
    print("nulls, decoder and simulator are those of the code at hand")
else:
    print("nulls, decoder or simulator have changed since: measure again")
measured = level.table()
titles = {name: null.title for name, null in nulls.NULLS.items()}
safe = np.where(measured["test"].str.contains("/2"), ", safe p", "")
measured["null"] = measured["null"].map(titles) + safe

# %%
rows = measured[measured["cell"].isin(["no_link", "drift_only"])]
order = list(rows["null"].unique())
fig, (ax,) = style.panels(1, width=9.5, height=4.4)
for shift, (cell, mine) in enumerate(rows.groupby("cell", sort=False)):
    y = mine["null"].map(order.index) + 0.2 * shift - 0.1
    bars = mine["rate"] - mine["low"], mine["high"] - mine["rate"]
    says = f"{level.cells[cell]['says']} ({mine['datasets'].iloc[0]} data sets)"
    ax.errorbar(100 * mine["rate"], y, xerr=100 * np.array(bars), fmt="o", ms=5,
                capsize=3, label=says)
ax.axvline(5, color=style.SIGNAL, ls="--", lw=1)
ax.set_xscale("function", functions=(np.sqrt, np.square))
ax.set_xticks([0, 1, 5, 10, 20, 40, 60, 80, 100])
ax.set_yticks(range(len(order)), order)
ax.invert_yaxis()
ax.set(xlabel="data sets with p of at most 0.05 (%); nominal: 5", xlim=(0, 100))
ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.18))
ax = style.simulated_mark(ax, True)

# %%
interval = [f"{100 * row.rate:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"
            for row in measured.itertuples()]
tables.show(pd.DataFrame({
    "data": [level.cells[cell]["says"] for cell in measured["cell"]],
    "null": measured["null"], "data sets": measured["datasets"],
    "rejected_percent": interval, "AUC": measured["auc"],
    "null AUC": measured["null_auc"]}))

# %% [markdown]
# Frame shuffle and circular shift fail, as the example said. The linear shift has two p-values: the plain one, and a
# safe one of about twice its size, for which Harris proved that it never errs too often *if one of the two is
# stationary*. It costs half of the frames, and power.
#
# ## What leaving no session in place costs
#
# The derangement of sessions errs somewhat too often: in the table above, where brain and running drift, its interval
# lies above 5 %. The real pairing shares no pair with any draw, while two draws share one pair with each other on
# average. So draws resemble each other more than they resemble the data, and the data look a little too special. A
# permutation test is exact only if the draws come from a group, and orders without fixed points are none. For a score
# that is a sum over pairs, theory gives 11 % in place of 5 with 5 sessions, 6.9 % with 10 and 6.3 % with 14. Let
# sessions stay where chance leaves them, one on average, and the test is exact, at no cost that could be measured: with
# a weak link both find it about as often.
#
# Hence the rule of this book: **permutation without fixed points shows what nothing scores; the p-value comes from
# permutations of any order.** Both fail where sessions cannot be exchanged: an animal that learns, ages or loses its
# indicator over days links brain and behaviour by the calendar.

# %% [markdown]
# ## What this does not show
#
# - **Not that a score above its null is about movement.** Whatever correlates with running within a session, blood and
#   movement of the brain included, is above this null too.
# - **Not that drift is harmless.** The null carries the drift; so may the score. What lies between the null and one
#   half is drift that a claim about decoding should not count.
# - **Not for deep networks.** A thousand refits are affordable for a linear decoder. A network gets a few draws, and
#   no p-value (chapter 10).
# - **Not beyond these worlds.** The level was measured on simulated animals of one kind: sessions of 50 s, 50 ROIs,
#   drifts of one size. Longer sessions or stronger drifts change the rates of the nulls that fail.

# %% [markdown]
# ## Result card
#
# What the numbers depend on: the same data, split, seed, code and parameters give them again. The whole card, every
# animal included, is the `.card.json` beside the executed notebook.

# %%
null = (f"session re-pairing and session permutation, {draws} refits of each; "
        f"time in session only beside")
scores = [cards.table_scores(animals, "AUC", "linear"),
          cards.table_scores(animals, "time only", "linear, time only"),
          cards.table_scores(animals, "null mean", "null repairing")]
for column in ("p, repairing", "p, permuting", "AUC"):
    metric = column.replace("AUC", "auc")
    scores += cards.table_scores(
        animals, column, "linear", metric, unit="", single="animal {animal}")
planned = chance.plan(chapter.dataset, pipeline, task)
card = chapter.card(planned, null=null, scores=scores)
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
