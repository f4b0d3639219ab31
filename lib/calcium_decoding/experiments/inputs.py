"""What a window is cut from: ROI traces, preprocessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from calcium_decoding import preprocessing
from calcium_decoding.errors import DataError
from calcium_decoding.preprocessing.recipes import SUITS
from calcium_decoding.preprocessing.windows import WindowSpec


@dataclass(frozen=True)
class Traces:
    """ROI traces, preprocessed, in windows around the labelled frame.

    Parameters
    ----------
    preprocessing : str or dict
        Name of a recipe in :data:`calcium_decoding.preprocessing.RECIPES`, or arguments of
        :func:`calcium_decoding.preprocessing.build`; ``"auto"``: what suits the split.
    window : WindowSpec
    """

    preprocessing: str | Mapping = "auto"
    window: WindowSpec = field(default_factory=lambda: WindowSpec(15, 15))

    def of(self, dataset, regime):
        """The same for some data under a regime: a recipe by name, with the imaging rate.

        Raises DataError: recordings with different rates.
        """
        given = self.preprocessing
        recipe = {"name": given} if isinstance(given, str) else dict(given)
        if recipe["name"] == "auto":
            recipe["name"] = SUITS.get(regime, "scaled")
        if "rate_hz" not in recipe:
            rates = sorted({r.rate_hz for r in dataset.recordings})
            if len(rates) > 1:
                raise DataError(dataset.name, f"imaging rates {', '.join(f'{r:g}' for r in rates)} Hz", "one rate",
                                "resample, or decode the recordings of each rate by themselves")
            recipe["rate_hz"] = rates[0]
        return replace(self, preprocessing=recipe)

    @cached_property
    def pipeline(self):
        """The transforms, not fitted; their declared reach goes to the audit."""
        return preprocessing.build(**self.preprocessing)
