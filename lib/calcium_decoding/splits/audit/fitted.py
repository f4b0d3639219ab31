"""What each step was fitted on, as an object that can be refused."""

from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.splits.audit.footprints import Intervals, common_frames
from calcium_decoding.splits.core import ROLES, Segment

WORDS = (*ROLES, "each recording", "nothing")


@dataclass(frozen=True)
class FittedStep:
    """A step that learnt or was chosen from data: a scaler, a PCA, a threshold, the epoch at which training stopped.

    ``fitted_on``: roles of the fold, ``"each recording"`` (by itself, as a whole), ``"nothing"``, or segments of
    frames; else ParameterError. ``fold``: the one it belongs to; empty: every fold.
    """

    name: str
    fitted_on: tuple
    fold: str = ""

    def __post_init__(self):
        what = (self.fitted_on,) if isinstance(self.fitted_on, str | Segment) else tuple(self.fitted_on)
        object.__setattr__(self, "fitted_on", what)
        for item in what:
            if not isinstance(item, Segment) and item not in WORDS:
                raise ParameterError(f"fitted_on of step '{self.name}'", repr(item),
                                     f"{', '.join(WORDS)}, or a segment of frames", "say on what it was fitted")

    def segments(self, fold):
        """Segments of frames that it was fitted on in one fold."""
        return tuple(segment for item in self.fitted_on
                     for segment in ([item] if isinstance(item, Segment) else
                                     getattr(fold, item) if item in ROLES else ()))


def steps_of(pipeline):
    """The fitted steps of a preprocessing pipeline, as it declares them."""
    words = {"training frames": "train"}
    return tuple(FittedStep(type(step).__name__, words.get(step.fitted_on, step.fitted_on))
                 for step in pipeline.steps if step.fitted_on != "nothing")


def refuse_fitted(step, fold, claim, test, recordings, pipeline):
    """Raise LeakError if a step (FittedStep) saw in this fold what the test must keep for itself.

    ``test``: Intervals that the test samples touch. ``recordings``: by name. ``pipeline``: its reach counts.
    """
    if step.fold not in ("", fold.name):
        return
    where, segments = f"fold {fold.name}", step.segments(fold)
    if "test" in step.fitted_on:
        raise LeakError(where, f"step '{step.name}', fitted on the test: {_in_words(fold.test)}",
                        "every step fitted and every choice made on training and validation frames",
                        "fit it on the training frames, or choose it on the validation frames")
    if "each recording" in step.fitted_on and claim == "within session":
        raise LeakError(where, f"step {step.name}, fitted on each recording as a whole, the test "
                        f"{_in_words(fold.test)} included",
                        "steps that do not look at the whole test recording in a claim within sessions",
                        "use the recipe 'causal', 'scaled' or 'events', or a split across sessions or animals")
    check_segments(segments, recordings, f"{where}, step '{step.name}' fitted on")
    starts = [max(0, s.start - pipeline.look_back_frames) for s in segments]
    stops = [min(recordings[s.recording].n_frames, s.stop + pipeline.look_ahead_frames) for s in segments]
    seen = Intervals(np.array([s.recording for s in segments], str), np.array(starts, int), np.array(stops, int))
    shared = common_frames(seen, test)
    if shared:
        name, first, last = shared[0]
        raise LeakError(where, f"step '{step.name}', fitted on {_in_words(segments)}, which reaches frames {first} .. "
                        f"{last} of recording {name} that test samples touch",
                        "steps fitted on frames that no test sample touches",
                        "fit it on the training frames of the fold")
    both = sorted(units(segments, claim, recordings) & units(fold.test, claim, recordings))
    if both:
        raise LeakError(where, f"step '{step.name}', fitted on frames of {', '.join(both)}, tested in a claim {claim}",
                        "steps fitted on other animals or sessions than the tested ones",
                        "fit it on the training frames of the fold, or make a smaller claim")


def check_segments(segments, recordings, where):
    """DataError if a segment does not lie in one of the recordings (by id)."""
    for s in segments:
        if s.recording not in recordings:
            raise DataError(f"{where} {s.recording}", "a recording the data set does not have",
                            f"one of {', '.join(list(recordings)[:5])}, ...", "name frames of this data set")
        if s.stop > recordings[s.recording].n_frames:
            raise DataError(f"{where} {s.recording}", f"frames {s.start} .. {s.stop}",
                            f"frames inside 0 .. {recordings[s.recording].n_frames}", "name frames of this data set")


def units(segments, claim, recordings):
    """Animals or sessions of some segments, whichever the claim is about; empty for other claims."""
    found = [recordings[s.recording] for s in segments]
    if claim == "across animals":
        return {r.animal for r in found}
    return {f"{r.animal}/{r.session}" for r in found} if claim == "across sessions" else set()


def _in_words(segments):
    few = [f"{s.recording} frames {s.start} .. {s.stop - 1}" for s in segments[:3]]
    return ", ".join(few) + (f" and {len(segments) - 3} more ranges" if len(segments) > 3 else "")
