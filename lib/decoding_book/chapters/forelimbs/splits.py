"""Splits by labelled minutes of a new animal, and by days from training to test."""

import itertools
from datetime import date

from calcium_decoding.errors import DataError
from calcium_decoding.splits import Fold, Segment, Split


def new_mouse(dataset, minutes):
    """Each animal's last session tested; trained on all others but one, which validates, and on the first labelled
    minutes of its own earlier sessions. The tested sessions are the same, however many minutes. ParameterError,
    DataError: fewer than three animals, or sessions that do not have so many minutes."""
    folds = []
    for i, animal in enumerate(dataset.animals):
        *own, last = dataset.of_animal(animal)
        valid = dataset.animals[(i + 1) % len(dataset.animals)]
        train = [Segment(r.id, 0, r.n_frames) for r in dataset.recordings if r.animal not in (animal, valid)]
        left = round(minutes * 60 * dataset.rate_hz)
        for recording in own:
            if left > 0:
                train.append(Segment(recording.id, 0, min(left, recording.n_frames)))
                left -= recording.n_frames
        if left > 0:
            there = minutes - left / 60 / dataset.rate_hz
            raise DataError(f"animal {animal}", f"{there:.3g} min before its last session",
                            f"{minutes:g} labelled minutes", "ask for fewer")
        folds.append(Fold(f"test={animal}", train, [Segment(r.id, 0, r.n_frames) for r in dataset.of_animal(valid)],
                          [Segment(last.id, 0, last.n_frames)], animal, {"test_animal": animal, "valid_animal": valid}))
    return Split(f"new_mouse_{minutes:g}_min", folds, "across sessions" if minutes else "across animals")


def days_apart(dataset, n_folds=0):
    """Splits by days between training and test, a dict of int to Split: of each animal one session trains, a later one
    is tested, and the one next to the training session validates. ``n_folds``: of each, spread evenly; 0: all."""
    found = {}
    for animal in dataset.animals:
        of = dataset.of_animal(animal)
        for train, test in itertools.combinations(of, 2):
            valid = next((r for r in of if r not in (train, test)), None)
            if valid is None:
                continue
            gap = (date.fromisoformat(test.session[:10]) - date.fromisoformat(train.session[:10])).days
            whole = ([Segment(r.id, 0, r.n_frames)] for r in (train, valid, test))
            found.setdefault(gap, []).append(Fold(f"{animal}: {train.session} to {test.session}", *whole, animal, {
                "test_animal": animal, "valid_animal": animal}))
    return {gap: Split(f"days_apart_{gap}", folds, "across sessions").spread(min(n_folds, len(folds)))
            for gap, folds in sorted(found.items())}
