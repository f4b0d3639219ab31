"""What can be simulated: worlds by name, and the settings that determine every byte."""

import math
from dataclasses import dataclass

from calcium_decoding.data.published import session_run_shares
from calcium_decoding.errors import ParameterError

RATE_HZ = 30.0
FRAME_PX = 128
ANIMAL_TAGS = ("LR", "non", "R", "L", "non")  # as in the study's Data_ID: mice 2 and 5 share a tag
N_ANIMALS = len(ANIMAL_TAGS)
ALL_SESSIONS = 999_999  # in place of a session: what an animal has in all of them
AS_IN_THE_STUDY = 0  # for sessions_per_animal: 11, 12, 14, 15 and 12
BYTES_PER_MOVIE_FRAME = FRAME_PX * FRAME_PX * 2


@dataclass(frozen=True)
class World:
    """Which parts of the simulation are switched on.

    - ``says``: one sentence on what holds in this world.
    - ``neural``, ``haemodynamics``, ``motion``: scale of what running does to neurons, blood and position of the brain.
    - ``sway``: the brain also moves by itself, which hides what running does to its position.
    - ``linked``: if not, brain, blood and position follow the running of another, unrelated session.
    - ``share_drift``: how much the probability of running falls from the beginning to the end of a session.
    - ``brain_drift``: fall of the signal from beginning to end of a session, the same in all, % dF/F.
    - ``only_group``: ROI group that running drives; empty: all of them.
    - ``lag_s``: one lag for all areas, in place of each area's own; negative: the brain leads.
    - ``odd_animal``: animal with another gain and placement; 0: none.
    """

    says: str
    neural: float = 1.0
    haemodynamics: float = 1.0
    motion: float = 1.0
    sway: bool = False
    linked: bool = True
    share_drift: float = 0.0
    brain_drift: float = 0.0
    only_group: str = ""
    lag_s: float | None = None
    odd_animal: int = 0


WORLDS = {
    "paper_like": World("running drives all areas, limb areas most, and moves blood and brain a little", motion=0.4,
                        sway=True),
    "motion": World("as paper_like, but running jerks the brain by half a pixel and keeps it trembling"),
    "no_link": World("brain and running are independent: every decoder has to score at chance", linked=False),
    "drift_only": World("running and brain both drift within each session, and nothing links them", linked=False,
                        share_drift=0.7, brain_drift=3.0),
    "haemodynamics_only": World("running changes blood absorption only; no neuron follows it", neural=0.0, motion=0.0,
                                haemodynamics=4.0),
    "motion_artefact_only": World("running moves the brain under the camera only; no neuron follows it", neural=0.0,
                                  haemodynamics=0.0, motion=3.0),
    "single_area": World("running drives the neurons of the limb areas only", haemodynamics=0.0, motion=0.0,
                         only_group="FL_HL"),
    "lead": World("all areas run ahead of behaviour by 0.5 s", lag_s=-0.5, haemodynamics=0.0, motion=0.0),
    "lag": World("all areas follow behaviour after 0.5 s", lag_s=0.5, haemodynamics=0.0, motion=0.0),
    "one_mouse_different": World("as paper_like, but mouse 3 has less gain and another placement", motion=0.4,
                                 sway=True, odd_animal=3),
}


@dataclass(frozen=True)
class SimulationSettings:
    """What to simulate; together with the code this determines every byte.

    - ``world``: a name in :data:`WORLDS`. ``animals``: 1 to 5.
    - ``sessions_per_animal``: 0: as many as in the study, 11 to 15. ``frames_per_session``: the study has 18,000.
    - ``drive``: scale of what running does to neurons; 1 is the calibrated world.
    - ``noise``: SD of white noise of an area, % dF/F, added after the indicator.
    - ``drift``: scale of bleaching and slow wander of the baseline. ``arousal``: of what all areas share, % dF/F,
      in the middle of the animals.
    - ``movies``: write the movies too: 32 KiB a frame, 590 MB for a session of 18,000 frames.
    """

    world: str = "paper_like"
    seed: int = 1
    sessions_per_animal: int = 4
    frames_per_session: int = 2400
    animals: int = N_ANIMALS
    drive: float = 1.0
    noise: float = 0.6
    drift: float = 2.2
    arousal: float = 0.26
    movies: bool = False

    def __post_init__(self):
        if self.world not in WORLDS:
            raise ParameterError("world", repr(self.world), f"one of {', '.join(WORLDS)}", "name one of these")
        for name, least, most in (("seed", 0, 2**32 - 1), ("sessions_per_animal", 0, 365),
                                  ("frames_per_session", 300, 1_000_000), ("animals", 1, N_ANIMALS)):
            value = getattr(self, name)
            if not (isinstance(value, int) and least <= value <= most):
                raise ParameterError(name, repr(value), f"a whole number from {least} to {most}", "give such a number")
        for name in ("drive", "noise", "drift", "arousal"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise ParameterError(name, repr(value), "a number, 0 or more", "give a scale, not a sign")

    @property
    def parts(self):
        """The :class:`World`."""
        return WORLDS[self.world]

    def sessions(self):
        """Every (animal, session) of the data set: animals counted from 1, sessions from 0."""
        counts = {animal: self.sessions_per_animal or len(session_run_shares(animal))
                  for animal in range(1, self.animals + 1)}
        return [(animal, session) for animal, count in counts.items() for session in range(count)]

    @property
    def movie_bytes(self):
        """Size of all movies, bytes; 0 without movies."""
        return len(self.sessions()) * self.frames_per_session * BYTES_PER_MOVIE_FRAME if self.movies else 0
