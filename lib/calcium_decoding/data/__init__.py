"""Recordings with behaviour on the same frames, clocks, movies, the catalogue of data sets and its download."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "catalog": ["load_manifest"],
    "clock": ["OnFrames", "Series", "align_clock", "frame_times", "on_frames", "with_behaviour"],
    "clock_checks": ["clock_report", "match_pulses"],
    "frame_clock": ["frame_numbers", "mask_frames", "usable_frames", "with_times"],
    "labels": ["bouts", "series_of", "speed_from_position", "unwrap_position", "with_label"],
    "movies": ["Movie", "split_channels"],
    "readers": ["nwb_behaviour", "read", "read_behaviour", "read_nwb", "read_suite2p", "write_npz",
                "write_nwb"],
    "recording": ["Dataset", "Recording", "Refusal", "stretches_of"],
})
