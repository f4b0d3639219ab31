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
# **Data** one simulated animal that drifts and has no link; then any data set of the manifest with a run label and
# two whole sessions an animal, by default simulated: 5 animals, 50 ROIs.
#
# **Cost** smoke: half a minute; demo, which is what the parameters below say: about a minute on 2 cores;
# paper: a few minutes (64 sessions of 18,000 frames, 1,000 refits for each of two nulls and five mice). The measured
# level is stored with the book; its hours are not spent again.
#
# **Reproduces** the idea of the null of Ajioka et al. 2024, sessions of labels permuted within a mouse. **Adds** a
# thousand draws in place of one, p-values, a decoder that sees only the time in session, nulls that fail, and their
# measured rates of false alarms.

# %%
import pandas as pd

from calcium_decoding.evaluation import linear_null, nulls
from calcium_decoding.plotting import style
from calcium_decoding.simulation import widefield
from decoding_book.chapter import start
from decoding_book.chapters import chance, tables

# %% tags=["parameters"]
dataset = "simulated"  # name in data_manifest.yaml
data_dir = ""  # folder of data sets; empty: CALCIUM_DECODING_DATA, or data/
out_dir = ""  # folder of the result card; empty: _build/cards
seed = 2  # seed of everything random
example_sessions = 12  # sessions of the example animal
example_frames = 3000  # frames of each of them
recipe = "published"  # preprocessing, applied to whole recordings
baseline_frames = 1000  # length of the moving baseline, frames
draws = 1000  # draws of each null
jobs = 0  # threads; 0: one a processor

# %%
chapter = start("03_chance_and_nulls", globals())

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
names = ["repairing", "linear_shift", "circular_shift", "frame_shuffle"]
fig, (ax,) = style.panels(1, width=9.5, height=4.2)
ax = chance.what_nulls_do(example, "mouse 1", names, seed, ax)

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
    ax = chance.distribution(found, ax, example)

# %% [markdown]
# The decoder scores well above one half **with nothing to decode**: it reads the time in session from the bleaching,
# and that tells when this animal runs. It works in a session it has never seen, since all sessions drift alike.
# Cross-validation does not help here.
#
# What helps is a null that drifts as well. When whole sessions are exchanged, the null scores about as high as the
# data, and the p-value raises no alarm. The circular shift tears the drift apart, its null lies at one half, and
# what it calls a discovery is bleaching. The frame shuffle, besides, forgets that running comes in bouts: a session of
# 3,000 frames holds a dozen bouts, not 3,000 independent frames.
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
    chapter.dataset, draws, seed, pipeline, jobs=jobs or None)
fig, (ax,) = style.panels(1, width=8.5, height=3.8)
ax = chance.animals(animals, "repairing", ax)

# %%
tables.show(chance.animal_table(animals))

# %% [markdown]
# `p = (b + 1) / (n + 1)`, where b of n draws score as high as the data: never zero, since the data are one of the
# ways the sessions could have been paired (Phipson & Smyth 2010). The columns *least p* say what no number of draws can
# get below: four sessions can be paired in 24 ways, 9 of them with no session in place. More draws are no more
# evidence; more sessions are.
#
# Animals without a score, if any, and all animals together:

# %%
for animal in left_out:
    print(f"{animal.session}: {animal.reason}")
print(chance.over_animals(animals, "repairing"))

# %% [markdown]
# ## What five animals can show
#
# A p-value of one animal is about *that* animal: does its running go with its activity? About mice in general, an
# animal is one number. Five numbers that all lie above their nulls have 2 of 32 assignments of signs as extreme as
# theirs: p is 1/16 two-sided and no effect, however large, gets below. The sentence above says so. Twenty folds of
# five animals, or 64 sessions, do not change it: report the five numbers.
#
# ## Can these p-values be trusted?
#
# A test at 5 % should be wrong in 5 % of data sets without a link. Whether it is can be measured: simulate many
# animals without a link, test each, count. In one world nothing drifts; in the other brain and running drift within
# every session, as above. Dots are shares of data sets, bars their exact 95 % intervals.

# %%
level = chance.stored_level()
print(chance.level_origin(level))
fig, (ax,) = style.panels(1, width=9.5, height=4.4)
ax = chance.level(level, ["no_link", "drift_only"], ax)

# %%
tables.show(chance.level_table(level))

# %% [markdown]
# Frame shuffle and circular shift fail, as the example said. The linear shift has two p-values: the plain one, and a
# safe one of about twice its size, for which Harris proved that it never errs too often *if one of the two is
# stationary*. It costs half of the frames, and power.
#
# ## What leaving no session in place costs
#
# The derangement of sessions comes near 5 %, but not for a good reason. The real pairing shares no pair with any draw,
# while two draws share one pair with each other on average. So draws resemble each other more than they resemble the
# data, and the data look a little too special. A permutation test is exact only if the draws come from a group, and
# orders without fixed points are none. For a score that is a sum over pairs, theory gives 11 % in place of 5 with 5
# sessions, 6.9 % with 10 and 6.3 % with 14. Let sessions stay where chance leaves them, one on average, and the test is
# exact, at no cost that could be measured: with a weak link both find it about as often.
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
card = chapter.card(chance.plan(chapter.dataset, pipeline), null=null,
                    scores=chance.card_scores(animals))
tables.show(card.origin())

# %% tags=["nbval-check-output"]
print(card.rounded())
