"""Small recordings in which everything can be decoded, and decoders fitted on them."""

import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding.preprocessing import WindowSpec

ROIS = ("M1", "M2", "S1", "V1", "RSC", "PPC")


def recording(animal, seed, n=240, **how):
    rng = np.random.default_rng(seed)
    odour = np.repeat(rng.permutation(np.arange(n // 20) % 4), 20)
    signal = np.column_stack([2.0 * (odour[:, None] == range(4)), rng.normal(size=(n, 2))])
    behaviour = {"run": odour > 1, "odour": odour, "speed_cm_s": odour + rng.normal(size=n)}
    return cd.Recording(5 + 3 * (signal + 0.4 * rng.normal(size=signal.shape)), behaviour, 20.0, animal, "s",
                        **{"roi_names": ROIS, "simulated": True} | how)


@pytest.fixture(scope="session")
def recordings():
    return cd.Dataset("mine", tuple(recording(f"m{i}", i) for i in range(3)))


@pytest.fixture(scope="session")
def fitted(recordings):
    """Fits a decoder: ``fitted(decoder, task, recipe, window)``; each once."""
    made = {}

    def fit(decoder="gru", task=None, recipe="causal", window=(4, 0, 1, 0)):
        key = repr((decoder, task, recipe, window))
        if key not in made:
            recipe = {"name": recipe} if isinstance(recipe, str) else dict(recipe)
            recipe = {"baseline_frames": 50} | recipe
            task = task or cd.Binary("run")
            together = {"training": task.training(epochs=1, size="small")} if task.kind == "together" else {
                "training": cd.TrainingSettings(epochs=1, batch_size=64)}
            made[key] = cd.Experiment(recordings, "animal_pairs", cd.Traces(recipe, WindowSpec(*window)), task,
                                      [decoder], **together).fitted(decoder, 0)
        return made[key]

    return fit
