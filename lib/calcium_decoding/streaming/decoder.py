"""Decode while frames come in: the latest window is kept, and nothing is decoded across a gap."""

from dataclasses import dataclass

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.models.training import predict
from calcium_decoding.preprocessing.windows import WindowSet


@dataclass(frozen=True)
class Decoded:
    """What one window gave.

    Attributes
    ----------
    frame : int
        Number of the frame to which the value refers; label shifts count.
    value : float
        Probability of running, or speed in the unit of the training labels.
    """

    frame: int
    value: float


class StreamDecoder:
    """A trained decoder of ROI traces that takes one frame at a time.

    The same numbers as :func:`calcium_decoding.models.predict` on the whole recording. Frames come preprocessed, by
    steps that look at no later frame: a step that does cannot be taken while frames come in.

    Parameters
    ----------
    decoder : torch.nn.Module or linear decoder
        Trained; see :func:`calcium_decoding.models.fit`.
    spec : WindowSpec
        The window it was trained on. Its stride is not used: every window is decoded.
    n_roi : int
        Values of a frame.

    Attributes
    ----------
    delay_frames : int
        Frames from the one that a value refers to, to the one with which it is given: ``future_frames`` of the window,
        less the label shift; never hidden in a latency.
    n_gaps : int
        How often frame numbers jumped; each time the window fills anew.
    """

    def __init__(self, decoder, spec, n_roi):
        self.decoder, self.spec, self.n_gaps = decoder, spec, 0
        self.delay_frames = spec.future_frames - spec.label_shift_frames
        self._frames, self._last = np.zeros((0, n_roi), np.float32), None

    def push(self, frame, number=None):
        """Take the next frame.

        Parameters
        ----------
        frame : array, shape (n_roi,)
        number : int, optional
            Of the frame, by the camera's count; one more than the last if left out.

        Returns
        -------
        Decoded or None
            None as long as the window is not full.

        Raises
        ------
        DataError
            A frame of another shape, with NaN or infinite values, or with a number that is not above the last one.
            Nothing was taken then.
        """
        frame = np.asarray(frame, dtype=np.float32)
        expected = 0 if self._last is None else self._last + 1
        number = expected if number is None else int(number)
        if frame.shape != self._frames.shape[1:]:
            raise DataError(f"frame {number}", f"shape {frame.shape}", f"shape {self._frames.shape[1:]}",
                            "give one value for each ROI the decoder was trained on, in the same order")
        if not np.isfinite(frame).all():
            raise DataError(f"frame {number}", "NaN or infinite values", "finite numbers",
                            "leave the frame out: the jump of its number is counted as a gap")
        if self._last is not None and number < expected:
            raise DataError(f"frame {number}", "a frame that came before", f"frame {expected} or a later one",
                            "drop frames that repeat or come too late")
        if self._last is not None and number > expected:
            self.n_gaps += 1
            self._frames = self._frames[:0]
        self._last = number
        self._frames = np.concatenate([self._frames, frame[None]])[-self.spec.length :]
        if len(self._frames) < self.spec.length:
            return None
        window = WindowSet(self._frames, np.zeros(1, np.int64), np.zeros(1, np.float32), np.zeros(1, np.int32),
                           np.array([number - self.spec.future_frames]), ("stream",), self.spec)
        return Decoded(number - self.delay_frames, float(predict(self.decoder, window)[0]))
