"""The one noun of this book: a recording of activity with the behaviour that went with it."""

import bisect
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from calcium_decoding.data.movies import Movie
from calcium_decoding.errors import DataError


@dataclass(frozen=True, eq=False)
class Recording:
    """A session of imaging, or a part of one, with behaviour on the same frames.

    Parameters
    ----------
    signal : ndarray, shape (T, n_roi), float32
        Activity. Cast to float32 if it is another real type; arrays are read-only from here on.
    behaviour : dict of str to ndarray, shape (T,)
        What the animal did at each frame. ``"run"`` is uint8, 0 rest and 1 run. Other entries are float32 and carry
        their unit in their name (``"speed_cm_s"``) or are in the recording's own unit (``"velocity"``, ``"wheel"``).
    rate_hz : float
        Frames per second.
    animal, session, part : str
        Who, which session of that animal, and which part of it (a trial); windows never cross parts.
    roi_names : tuple of str
        One name a column of ``signal``; column numbers, counted from 1, if left empty.
    signal_unit, source : str
        For axis labels, and for error messages.
    simulated : bool
        Computed and not recorded. Every result says so.
    notes : tuple of str
        What the reader noticed and the user should know.
    movie : Movie, optional
        The images of the same frames; they stay on disk.
    times_s : ndarray, shape (T,), float64, optional
        When each frame began, s, on the clock of the recording.
    stretches : sequence of (int, int), optional
        Half-open ranges of frames that can be used, in order; no window spans two of them. All frames if left out.
        Between them values may be NaN or infinite; the last usable value then stands there, for filters to run over.
    reach : dict of str to (int, int)
        Frames before and after a frame that its behaviour of this name was made from; the leak audit counts them.

    Raises
    ------
    DataError
        Empty, NaN or infinite values, swapped axes, lengths that disagree, a run label that is not 0 or 1.
    """

    signal: np.ndarray
    behaviour: dict[str, np.ndarray]
    rate_hz: float
    animal: str
    session: str
    part: str = ""
    roi_names: tuple[str, ...] = ()
    signal_unit: str = "dF/F (%)"
    simulated: bool = False
    source: str = ""
    notes: tuple[str, ...] = ()
    movie: Movie | None = None
    times_s: np.ndarray | None = None
    stretches: tuple[tuple[int, int], ...] = ()
    reach: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self):
        where = self.source or self.id
        try:
            rate_hz = float(np.asarray(self.rate_hz).item())
        except (TypeError, ValueError):
            rate_hz = np.nan
        if not 0 < rate_hz < np.inf:
            raise DataError(where, f"rate_hz = {self.rate_hz}", "one positive number, frames per second",
                            "give the imaging rate in Hz")
        signal = np.asarray(self.signal)
        stretches = checked_stretches(self.stretches, len(signal) if signal.ndim else 0, where)
        signal = _finite(signal, "signal", where, stretches)
        if signal.ndim != 2 or 0 in signal.shape:
            raise DataError(where, f"signal of shape {signal.shape}", "shape (T, n_roi), one frame and ROI at least",
                            "leave out the empty session, or give one row a frame and one column a ROI")
        behaviour = {name: _behaviour(np.asarray(values), name, signal, where, stretches)
                     for name, values in self.behaviour.items()}
        roi_names = tuple(self.roi_names) or tuple(str(i + 1) for i in range(signal.shape[1]))
        if len(roi_names) != signal.shape[1]:
            raise DataError(where, f"{len(roi_names)} ROI names for {signal.shape[1]} columns", "one name a column",
                            "give as many names as the signal has columns")
        if self.movie is not None and len(self.movie) != len(signal):
            raise DataError(where, f"{len(self.movie)} frames in {self.movie.path.name}, {len(signal)} of signal",
                            "an image for each frame of the signal", "leave the movie out, or fetch it again")
        if self.times_s is not None:
            times = np.asarray(self.times_s)
            if times.dtype.kind not in "fiu" or times.shape != signal.shape[:1] or not np.isfinite(times).all():
                raise DataError(where, f"times_s of shape {times.shape}, {times.dtype}",
                                f"a finite time in seconds for each of {len(signal)} frames",
                                "give one time a frame, or leave times_s out")
            object.__setattr__(self, "times_s", _read_only(times, np.float64))
        object.__setattr__(self, "stretches", stretches)
        object.__setattr__(self, "rate_hz", rate_hz)
        object.__setattr__(self, "signal", _read_only(signal, np.float32))
        object.__setattr__(self, "behaviour", behaviour)
        object.__setattr__(self, "roi_names", roi_names)

    @property
    def id(self):
        """Name of this recording, unique in its data set: animal/session, and /part where there are parts."""
        return "/".join(x for x in (self.animal, self.session, self.part) if x)

    @property
    def n_frames(self):
        """Number of frames T."""
        return self.signal.shape[0]

    @property
    def n_roi(self):
        """Number of ROIs."""
        return self.signal.shape[1]

    @property
    def run(self):
        """Run label of each frame, shape (T,), uint8; DataError if the recording has none."""
        if "run" not in self.behaviour:
            raise DataError(self.id, f"behaviour {sorted(self.behaviour)}", "a run label, 0 rest and 1 run",
                            "add behaviour['run'], or threshold a speed first")
        return self.behaviour["run"]

    def content_hash(self):
        """Hexadecimal SHA-256 of identity, rate, signal and behaviour; not of the movie."""
        return self._hash

    @cached_property  # the arrays are read-only
    def signal_hash(self):
        """Hexadecimal SHA-256 of the signal alone."""
        return hashlib.sha256(str(self.signal.shape).encode() + self.signal.data).hexdigest()

    @cached_property
    def _hash(self):
        digest = hashlib.sha256(f"{self.id}|{self.rate_hz}|{self.signal.shape}".encode() + self.signal.data)
        for name in sorted(self.behaviour):
            digest.update(name.encode() + self.behaviour[name].data)
        if self.stretches != ((0, self.n_frames),):
            digest.update(str(self.stretches).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Refusal:
    """A session that was not used, and why. It stands on every result made from the data set."""

    session: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """The recordings of one data set, with what was refused. Raises DataError: no recording, or two of one name.

    ``Dataset([recording, ...])`` will do: it is called ``mine``, and its regime is what its recordings allow.
    ``name``: of the manifest entry, or of the file for a user's own data. ``regime``: name of the split that suits the
    data. ``compare_with_study``: the published figures were measured on exactly these data. ``caution``: what a reader
    has to know before believing a score on them.
    """

    name: str
    recordings: tuple[Recording, ...] = ()
    refused: tuple[Refusal, ...] = ()
    regime: str = ""
    compare_with_study: bool = False
    caution: str = ""

    def __post_init__(self):
        if not isinstance(self.name, str):
            if self.recordings:
                raise DataError("Dataset", f"a name of type {type(self.name).__name__}", "text",
                                "Dataset(name, recordings), or Dataset(recordings)")
            object.__setattr__(self, "recordings", tuple(self.name))
            object.__setattr__(self, "name", "mine")
            object.__setattr__(self, "regime", self.regime or suitable_regime(self.recordings))
        object.__setattr__(self, "regime", self.regime or "animal_pairs")
        if not self.recordings:
            reasons = "; ".join(f"{r.session}: {r.reason}" for r in self.refused) or "no sessions at all"
            raise DataError(self.name, f"no usable recording ({reasons})", "at least one usable recording",
                            "mend or add sessions")
        ids = [recording.id for recording in self.recordings]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise DataError(self.name, f"more than one recording called {', '.join(twice)}", "one recording a name",
                            "give each session of an animal its own name")

    @property
    def simulated(self):
        """True if any recording is simulated."""
        return any(recording.simulated for recording in self.recordings)

    @property
    def animals(self):
        """Names of the animals, in order of appearance."""
        return tuple(dict.fromkeys(recording.animal for recording in self.recordings))

    @property
    def rate_hz(self):
        """Frames per second of the recordings; DataError if they do not all have the same."""
        rates = sorted({recording.rate_hz for recording in self.recordings})
        if len(rates) > 1:
            raise DataError(self.name, f"imaging rates {', '.join(f'{r:g}' for r in rates)} Hz", "one rate",
                            "resample, or decode the recordings of each rate by themselves")
        return rates[0]

    def of_animal(self, animal):
        """Recordings of one animal, in order."""
        return tuple(recording for recording in self.recordings if recording.animal == animal)

    def require_movies(self):
        """DataError if a recording has no movie."""
        for recording in self.recordings:
            if recording.movie is None:
                raise DataError(recording.id, "no movie", "the images of its frames",
                                "read the data set with its movies, or leave the recording out")

    def content_hash(self):
        """Short hash (16 hexadecimal digits) of all recordings, whatever their order; attached movies are read once."""
        parts = sorted(r.content_hash() + ("" if r.movie is None else r.movie.content_hash()) for r in self.recordings)
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def suitable_regime(recordings):
    """Name of the strictest split that recordings allow: across animals, sessions or parts, each of them from three on,
    else within recordings."""
    sessions, parts = {}, {}
    for one in recordings:
        sessions.setdefault(one.animal, set()).add(one.session)
        parts.setdefault((one.animal, one.session), set()).add(one.part)
    return ("animal_pairs" if len(sessions) >= 3 else
            "leave_one_session_out" if any(len(of) >= 3 for of in sessions.values()) else
            "last_part" if any(len(of) >= 3 for of in parts.values()) else "blocked")


def _read_only(values, dtype):
    values = np.array(values, dtype=dtype, order="C")  # a copy: nobody else can change what was checked
    values.flags.writeable = False
    return values


def stretches_of(is_usable):
    """Half-open ranges, a tuple of (int, int), of the frames for which an array of bool, shape (T,), is True."""
    edges = np.flatnonzero(np.diff(np.asarray(is_usable).astype(np.int8), prepend=0, append=0))
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))


def in_both(stretches, others):
    """Half-open ranges of the frames that lie in a range of each of two sequences of ranges, a tuple; borders stay."""
    found, others = [], sorted(others)
    starts = [start for start, _ in others]
    for start, stop in sorted(stretches):
        for i in range(max(0, bisect.bisect_right(starts, start) - 1), len(others)):
            if others[i][0] >= stop:
                break
            low, high = max(start, others[i][0]), min(stop, others[i][1])
            if low < high:
                found.append((low, high))
    return tuple(found)


class _AllFrames(tuple):
    """The one stretch of a recording without gaps: of a copy with another length it is that length."""


def checked_stretches(stretches, n_frames, where):
    """Stretches as a tuple of (int, int), all frames if there are none; DataError: out of range or order."""
    if not len(stretches) or isinstance(stretches, _AllFrames):
        return _AllFrames([(0, n_frames)])
    found, last = tuple((int(start), int(stop)) for start, stop in stretches), 0
    for start, stop in found:
        if not last <= start < stop <= n_frames:
            raise DataError(where, f"the stretch {start} .. {stop}",
                            f"half-open ranges inside 0 .. {n_frames}, in order, that do not overlap",
                            "make them of an array of bool with calcium_decoding.stretches_of")
        last = stop
    return found


def _finite(values, name, where, stretches):
    if values.dtype.kind not in "fiub":
        raise DataError(where, f"{name} of type {values.dtype}", "real numbers", "store the variable as numbers")
    if values.dtype.kind != "f" or not values.ndim:
        return values
    # Arrays are kept as float32, where more than this is infinite.
    is_bad = ~(np.abs(values) <= np.finfo(np.float32).max)
    if not is_bad.any():
        return values
    is_usable = np.zeros(len(values), bool)
    for start, stop in stretches:
        is_usable[start:stop] = True
    if (bad := np.argwhere(is_bad & is_usable.reshape(-1, *[1] * (values.ndim - 1)))).size:
        place = ", ".join(f"{axis} {i}" for axis, i in zip(("frame", "column"), bad[0], strict=False))
        raise DataError(where, f"{len(bad)} NaN or infinite values in {name}, the first at {place} (counted from 0)",
                        "finite numbers only, in frames that can be used",
                        "leave the ROI out, or name the frames without them: "
                        "stretches=cd.stretches_of(cd.usable_frames(signal))")
    last = np.maximum.accumulate(np.where(is_usable, np.arange(len(values)), -1))
    last = np.where(last < 0, np.argmax(is_usable), last)
    return np.where(is_bad, values[last], values)


def _behaviour(values, name, signal, where, stretches):
    values = values.reshape(-1) if 1 in values.shape else values
    if len(values) == len(signal) or values.ndim != 1:
        values = _finite(values, f"behaviour '{name}'", where, stretches)
    if values.ndim != 1:
        raise DataError(where, f"behaviour '{name}' of shape {values.shape}", "one value a frame",
                        "store one row of T values")
    if len(values) != signal.shape[0]:
        if len(values) == signal.shape[1]:
            raise DataError(where, f"signal of shape {signal.shape} with {len(values)} values of '{name}'",
                            "time on the first axis of the signal", "swap time and ROI (transpose the signal)")
        raise DataError(where, f"{signal.shape[0]} frames of signal but {len(values)} values of '{name}'",
                        "equal lengths", "cut both to the frames they share")
    if name != "run":
        return _read_only(values, np.float32)
    levels = np.unique(values)
    if not np.isin(levels, (0, 1)).all():
        raise DataError(where, f"run label with values {', '.join(map(str, levels[:5]))}", "0 for rest and 1 for run",
                        "recode the label, or threshold the speed")
    return _read_only(values, np.uint8)
