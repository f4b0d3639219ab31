"""Deep SHAP of recurrent decoders: what each ROI at each frame of a window adds to the output, summing up exactly.

DeepLIFT's contributions, averaged over a background of windows (Lundberg, Lee 2017, arXiv 1705.07874; Shrikumar et al.
2017, arXiv 1704.02685), with a rule for the product of two activations; see :mod:`.cells`.
"""

from dataclasses import dataclass

import numpy as np
import torch

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.explain.deep_shap.cells import cells_of, logistic_slope
from calcium_decoding.models.names import OUTPUTS

TOLERANCE = 1e-5  # largest violation of the sum rule, as a share of the range of the output
PAIRS = {"cpu": 4096, "cuda": 262_144}  # explained window x background window at a time; on a CPU what its cache holds


def values(decoder, windows, background, output="probability", batch=None, device="cpu"):
    """Deep SHAP values of windows against a background of windows, an :class:`Explanation`.

    ``decoder``: RecurrentDecoder or KerasDecoder. ``windows``, to be explained, and ``background``, over which a value
    is the mean: array_like, shape (n, length, n_roi) and (m, length, n_roi), float32. ``output``: "probability", as in
    the study, or "logit". ``batch``: pairs of explained and background window at a time, as fits the device if left
    out. Computed in float32, summed in float64; windows whose values miss the sum rule by more than a tenth of the
    tolerance are done again in float64.

    Raises ParameterError: a decoder without rules, an unknown output, or a batch below 1; DataError: windows of the
    wrong shape, none, or not finite; or the sum rule is violated by more than :data:`TOLERANCE`.
    """
    if output not in OUTPUTS:
        raise ParameterError("output", repr(output), f"one of {', '.join(OUTPUTS)}", "name one of these")
    device = torch.device(device)
    batch = PAIRS.get(device.type, PAIRS["cpu"]) if batch is None else batch
    if batch < 1:
        raise ParameterError("batch", batch, "1 pair or more", "leave it out, or give a larger one")
    cells_of(decoder)  # refuses before anything is computed
    windows, background = _checked(windows, background)
    single = _Network(decoder, output, device, torch.float32)
    precise = _Network(decoder, output, device, torch.float64)
    with torch.inference_mode():
        outputs = precise.outputs(windows)
        of_background = precise.outputs(background)
        base = float(of_background.mean())
        spread = np.ptp(np.concatenate([outputs, of_background]))
        found = single.explain(windows, background, batch)
        wrong = _residual(found, base, outputs) > 0.1 * TOLERANCE * spread
        if wrong.any():
            found[wrong] = precise.explain(windows[wrong], background, batch)
    residual = _residual(found, base, outputs).max()
    if not residual <= TOLERANCE * spread:
        raise DataError("Deep SHAP", f"values that miss the output by {residual:.2g}, of a range of {spread:.2g}",
                        f"a sum within {TOLERANCE:g} of the range", "report this: a rule is wrong for this decoder")
    return Explanation(found, base, outputs, float(residual / spread) if spread else 0.0)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Contributions to the output of a decoder. ``values`` (ndarray, shape (n, length, n_roi), float64): in the unit of
    the output; mean over the background. ``base``: mean output over the background; ``base + values.sum((1, 2))`` is
    ``outputs``, shape (n,), of the explained windows: the sum rule. ``error``: its largest violation, as a share of the
    range of the output over all windows given."""

    values: np.ndarray
    base: float
    outputs: np.ndarray
    error: float


def _checked(windows, background):
    checked = []
    for name, given in (("windows", windows), ("background", background)):
        given = np.ascontiguousarray(given, dtype=np.float32)
        if given.ndim != 3 or not given.size or (checked and given.shape[1:] != checked[0].shape[1:]):
            raise DataError(name, f"shape {given.shape}", "(n, length, n_roi), not empty, alike for both",
                            "lay windows and background with the same WindowSpec")
        if not np.isfinite(given).all():
            raise DataError(name, "values that are not finite", "finite numbers", "preprocess the signal first")
        checked.append(given)
    return checked


def _residual(found, base, outputs):
    return np.abs(base + found.sum(axis=(1, 2)) - outputs)


class _Network:
    """A decoder of one precision: cells, read-out, output."""

    def __init__(self, decoder, output, device, dtype):
        self.cells = [cell.to(device, dtype) for cell in cells_of(decoder)]
        self.weight = decoder.readout.weight.detach().to(device, dtype)[0]
        self.bias = decoder.readout.bias.detach().to(device, dtype)
        self.of_probability, self.device, self.dtype = output == "probability", device, dtype

    def outputs(self, windows, at_a_time=2048):
        found = [self._forward(self._tensor(windows[i : i + at_a_time]))[1] for i in range(0, len(windows), at_a_time)]
        logits = torch.cat(found).double()
        return (logits.sigmoid() if self.of_probability else logits).cpu().numpy()

    def explain(self, windows, background, batch):
        """Values, shape (n, length, n_roi), float64, averaged over the background."""
        background = self._tensor(background)
        done, n = self._forward(background), len(background)
        n_together = max(1, batch // n)
        found = np.zeros(windows.shape)
        for start in range(0, len(windows), n_together):
            some = self._tensor(windows[start : start + n_together])
            did = self._forward(some)
            for first in range(0, n, batch):
                here = slice(first, first + batch)
                found[start : start + n_together] += self._of_pairs(some, did, background[here], _cut(done, here))
        return found / n

    def _tensor(self, windows):
        return torch.from_numpy(windows).to(self.device, self.dtype)

    def _forward(self, windows):
        """What each frame did in each direction, and the logits."""
        directions, last = [], []
        for backwards, cell in enumerate(self.cells):
            frames, state = cell.forward(windows.flip(1) if backwards else windows)
            directions.append(frames)
            last.append(state)
        return directions, torch.cat(last, dim=1) @ self.weight + self.bias

    def _of_pairs(self, windows, did, background, done):
        """Sum over background windows of what each frame and ROI adds, shape (n, length, n_roi), float64."""
        (directions, logits), (other_directions, other_logits) = did, done
        multiplier = self._of_output(logits[:, None], other_logits[None])[..., None]
        total = torch.zeros(windows.shape, dtype=torch.float64, device=self.device)
        n_pairs = (len(windows), len(background), -1)
        for backwards, cell in enumerate(self.cells):
            part = self.weight[backwards * cell.hidden : (backwards + 1) * cell.hidden]
            multipliers = cell.begin((multiplier * part).expand(n_pairs))
            for t in reversed(range(windows.shape[1])):
                here, there = directions[backwards][t], other_directions[backwards][t]
                pair = {name: (here[name][:, None], there[name][None]) for name in here}
                into, multipliers = cell.back(multipliers, pair)
                frame = windows.shape[1] - 1 - t if backwards else t
                difference = windows[:, None, frame] - background[None, :, frame]
                total[:, frame] += ((into @ cell.from_input) * difference).sum(1, dtype=torch.float64)
        return total.cpu().numpy()

    def _of_output(self, logits, other):
        if not self.of_probability:
            return torch.ones_like(logits * other)
        return logistic_slope(logits, other, logits.sigmoid(), other.sigmoid())


def _cut(done, which):
    directions, logits = done
    return [[{name: x[which] for name, x in frame.items()} for frame in frames] for frames in directions], logits[which]
