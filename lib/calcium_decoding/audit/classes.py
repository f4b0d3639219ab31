"""Which classes occur in the parts of a fold: a score needs both."""

import numpy as np

from calcium_decoding.errors import DataError
from calcium_decoding.splits import ROLES
from calcium_decoding.windows import valid_centres


def fold_classes(fold, dataset, label="run", spec=None):
    """Classes that occur in each role of a fold.

    Parameters
    ----------
    fold : Fold
    dataset : Dataset
    label : str
        Which behaviour.
    spec : WindowSpec, optional
        Count only frames that are the label of a window; without it, all frames of the segments.

    Returns
    -------
    dict of str to dict
        Role to {class: number of frames}.
    """
    behaviour = {r.id: r.behaviour[label] for r in dataset.recordings if label in r.behaviour}
    found = {}
    for role in ROLES:
        counts = {}
        for segment in getattr(fold, role):
            if segment.recording not in behaviour:
                raise DataError(f"recording {segment.recording}", f"no behaviour '{label}' in {dataset.name}",
                                "a label for every recording of the split", "name another behaviour")
            frames = slice(segment.start, segment.stop)
            if spec is not None:
                frames = valid_centres(segment.start, segment.stop, spec) + spec.label_shift_frames
            for value, count in zip(*np.unique(behaviour[segment.recording][frames], return_counts=True),
                                    strict=True):
                counts[value.item()] = counts.get(value.item(), 0) + int(count)
        found[role] = counts
    return found


def not_evaluable(split, dataset, label="run", classes=(0, 1), spec=None):
    """Folds whose training or test frames lack a class, so that a score would mean nothing.

    Returns
    -------
    list of (str, str)
        Fold name and reason.
    """
    found = []
    for fold in split.folds:
        counts = fold_classes(fold, dataset, label, spec)
        lacking = [f"{role} has no frame with {label} = {c}"
                   for role in ("train", "test") for c in classes if not counts[role].get(c)]
        if lacking:
            found.append((fold.name, "; ".join(lacking)))
    return found
