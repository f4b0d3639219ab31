"""Chapter 52: what it costs to decode while the animal behaves: score, time, and a trigger that is right too late."""

import numpy as np
import pandas as pd

import calcium_decoding as cd
from calcium_decoding.evaluation import cards, onsets
from calcium_decoding.streaming import Latency, StreamDecoder, quiet, timetable

LEAST_SHIFT_S = 10  # of a decoded trace along the behaviour, in the null


def ladder(chapter, n_folds):
    """Experiments by label, a dict: a centred filter before the whole window; then a trailing one, with as much of the
    window after the decoded frame as each of ``look_aheads`` says."""
    p, found = chapter.parameters, {}
    for recipe, filtered, ahead in (
            ("centred_scaled", "centred filter", p.future_frames),
            *(("causal", "causal filter", int(frames)) for frames in p.look_aheads.split(","))):
        label = f"{filtered}, {1000 * ahead / chapter.rate_hz:.0f} ms ahead"
        found[label] = chapter.plan(recipe=recipe, spec=cd.WindowSpec(p.past_frames, ahead), n_folds=n_folds,
                                    say=not found)
    return found


def streamed(fitted, recording, seconds, drop=0.0, hold_frames=0, seed=0):
    """Some seconds of a recording, frame by frame, in this process: values by frame, a Series, and the latency card.
    ``drop``: share of the frames that get lost on the way."""
    stream, latency = StreamDecoder(fitted, hold_frames=hold_frames), Latency()
    stream.warm_up()
    numbers, _ = timetable(min(recording.n_frames, round(seconds * recording.rate_hz)), recording.rate_hz, drop=drop,
                           seed=seed)
    signal, found = recording.signal[:, fitted.columns(recording)], {}
    with quiet():
        for number in numbers.tolist():
            decoded = stream.push(signal[number], number)
            if decoded is not None:
                found[decoded.frame] = decoded.value
                latency.add(None, *stream.took_s, 0.0)
    return pd.Series(found, name="probability", dtype=float), latency.card(stream)


def as_offline(values, fitted, recording):
    """Largest difference of streamed values from those of ``predict`` on the whole recording."""
    whole = fitted.predict(recording).set_index("frame")["probability"]
    return float((values - whole).abs().max())


def latency_table(card):
    """A row a part of a latency card, columns in ms; look-ahead, which computing comes on top of, in its own line."""
    table = pd.DataFrame(card["latency"]).dropna()
    table = table[table["max_ms"] > 0]
    ahead = {"part": "look-ahead, apart"} | dict.fromkeys(table.columns[1:], card["look_ahead_ms"])
    return pd.concat([table, pd.DataFrame([ahead])], ignore_index=True)


def losses(fitted, recording, seconds, shares, holds, seed):
    """What lost frames do: a row a share of them and a number of frames that the last one may stand in for, with the
    share of all windows that were decoded, and how far off they were where any was."""
    whole, rows = streamed(fitted, recording, seconds)[0], []
    for share in shares:
        for hold in holds:
            found, card = streamed(fitted, recording, seconds, share, hold, seed)
            rows.append({"frames lost (%)": 100 * share, "held frames at most": hold,
                         "windows decoded (%)": 100 * len(found) / len(whole),
                         "mean change": float((found - whole).abs().mean()), "held": card["frames"]["held"]})
    return pd.DataFrame(rows)


def closed_loop(found, settings, compute_ms, draws, seed):
    """A trigger at each decoded onset of the tested recordings, a row a condition: share of onsets ``missed``, ``delay
    (ms)`` from the onset of running to the trigger, look-ahead and computing included, ``false alarms a minute`` of
    rest; and the same of a null, in which each decoded trace is shifted along its recording, mean over draws."""
    rows, rng = [], np.random.default_rng(seed)
    for result in found:
        experiment = result.condition.experiment
        rate_hz = experiment.dataset.rate_hz
        late_ms = experiment.spec.look_ahead_ms(rate_hz) + compute_ms
        traces = [fold.trace(name) for fold in result.evaluable() for name in fold.recordings]
        mine = _pooled(traces, rate_hz, settings)
        null = []
        for _ in range(draws):
            shifts = [_shift(len(frames), rate_hz, rng) for frames, _, _ in traces]
            null.append(_pooled([(frames, labels, np.roll(p, by)) for (frames, labels, p), by in
                                 zip(traces, shifts, strict=True)], rate_hz, settings))
        rows.append({"condition": result.name, "onsets": mine.n_onsets, "missed": _missed(mine),
                     "delay (ms)": None if mine.median_delay_s is None else 1000 * mine.median_delay_s + late_ms,
                     "false alarms a minute": mine.false_alarms_per_min,
                     "missed, null": np.mean([_missed(one) for one in null]),
                     "false alarms a minute, null": np.mean([one.false_alarms_per_min for one in null])})
    return pd.DataFrame(rows).assign(simulated=any(result.simulated for result in found))


def loop_scores(table):
    """Those of :func:`closed_loop` for the result card, a list of Score."""
    return [cards.Score(model=row["condition"], metric=metric, scope=f"{of} {row['onsets']} onsets",
                        value=float(row[column])) for row in table.to_dict("records")
            for column, metric, of in (("missed", "onsets_missed", "mean of"),
                                       ("missed, null", "onsets_missed_null", "mean of"),
                                       ("false alarms a minute", "false_alarms_per_min", "away from"))
            if row["onsets"]]


def _pooled(traces, rate_hz, settings):
    return onsets.pool(onsets.event_scores(*trace, rate_hz, settings) for trace in traces)


def _missed(scores):
    return 1 - scores.share_detected if scores.n_onsets else np.nan


def _shift(n, rate_hz, rng):
    least = min(round(LEAST_SHIFT_S * rate_hz), n // 3)
    return int(rng.integers(least, n - least + 1))
