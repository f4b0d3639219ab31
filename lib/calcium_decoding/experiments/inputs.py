"""What a window is cut from: ROI traces, preprocessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from calcium_decoding import preprocessing
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
            recipe["rate_hz"] = dataset.rate_hz
        return replace(self, preprocessing=recipe)

    def pipeline(self):
        """The transforms, new and not fitted, a Pipeline; their declared reach goes to the audit."""
        return preprocessing.build(**self.preprocessing)
