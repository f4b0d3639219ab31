"""Decode while frames come in: the latest window is kept, and nothing is decoded across a gap."""

from typing import NamedTuple

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.models.training import predict
from calcium_decoding.preprocessing.windows import WindowSet


class Decoded(NamedTuple):
    """What one window gave: ``value``, probability of running or speed in the unit of the training labels, of ``frame``
    by its number; label shifts count.
    """

    frame: int
    value: float


class StreamDecoder:
    """A trained decoder of ROI traces that takes one frame at a time.

    The same numbers as :func:`calcium_decoding.models.predict` on the whole recording. Frames come preprocessed, by
    steps that look at no later frame. ``delay_frames``: from the frame that a value refers to, to the one with which it
    is given.

    Parameters
    ----------
    decoder : torch.nn.Module or linear decoder
        Trained; see :func:`calcium_decoding.models.fit`.
    spec : WindowSpec
        The window it was trained on. Its stride is not used: every window is decoded.
    n_roi : int
    """

    def __init__(self, decoder, spec, n_roi):
        self.decoder, self.spec = decoder, spec
        self.delay_frames = spec.future_frames - spec.label_shift_frames
        self._frames, self._last = np.zeros((0, n_roi), np.float32), None

    def push(self, frame, number=None):
        """Take the next ``frame``, shape (n_roi,); a Decoded, or None as long as the window is not full, at first and
        after a gap.

        ``number``: of the frame, by the camera's count; one more than the last if left out. Raises DataError: a frame
        of another shape, with NaN or infinite values, or with a number that is not above the last one. Nothing was
        taken then.
        """
        frame = np.asarray(frame, dtype=np.float32)
        expected = 0 if self._last is None else self._last + 1
        number = expected if number is None else int(number)
        if frame.shape != self._frames.shape[1:]:
            raise DataError(f"frame {number}", f"shape {frame.shape}", f"shape {self._frames.shape[1:]}",
                            "give one value for each ROI the decoder was trained on, in the same order")
        if not np.isfinite(frame).all():
            raise DataError(f"frame {number}", "NaN or infinite values", "finite numbers",
                            "leave the frame out: the jump of its number makes a gap")
        if self._last is not None and number < expected:
            raise DataError(f"frame {number}", "a frame that came before", f"frame {expected} or a later one",
                            "drop frames that repeat or come too late")
        if self._last is not None and number > expected:
            self._frames = self._frames[:0]
        self._last = number
        self._frames = np.concatenate([self._frames, frame[None]])[-self.spec.length :]
        if len(self._frames) < self.spec.length:
            return None
        window = WindowSet(self._frames, np.zeros(1, np.int64), np.zeros(1, np.float32), np.zeros(1, np.int32),
                           np.array([number - self.spec.future_frames]), ("stream",), self.spec)
        return Decoded(number - self.delay_frames, float(predict(self.decoder, window)[0]))
