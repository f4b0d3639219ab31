"""Key points that DeepLabCut and SLEAP tracked, as columns by name; nothing in their files is ever unpickled."""

import csv
import pickletools

import numpy as np
import pandas as pd

from calcium_decoding.errors import DataError


def _deeplabcut(heads, values, frames, path, names=None):
    """Columns by name; ``heads`` has a tuple a column: scorer, perhaps individual, body part, coordinate."""
    known = ["_".join(head[1:]) for head in heads] if names is None else list(names)
    if len(known) != values.shape[1] or len(set(known)) < len(known):
        raise DataError(path, f"{values.shape[1]} columns and the names {', '.join(known)}",
                        "one name a column, none twice", "give names=, such as those of the CSV beside it")
    if frames.dtype.kind not in "iu" or (np.diff(frames) <= 0).any() or frames.min(initial=0) < 0:
        raise DataError(path, f"rows numbered {frames[0]!r} ...", "frame numbers in order",
                        "use the tracking of a video, not the images it was trained on")
    return {name: values[:, i].astype(np.float64) for i, name in enumerate(known)}, frames, []


def read_deeplabcut_csv(path, names=None):
    """Columns by name, frame numbers and notes of the CSV that DeepLabCut writes, three or four rows on top."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        heads = []
        for row in csv.reader(file):
            heads.append(row)
            if row[0] == "coords" or len(heads) == 4:
                break
    if [row[0] for row in heads] not in (["scorer", "bodyparts", "coords"],
                                         ["scorer", "individuals", "bodyparts", "coords"]):
        raise DataError(path, f"rows on top called {', '.join(row[0] for row in heads)}",
                        "scorer, bodyparts, coords, with individuals second where there are several",
                        "export it again with DeepLabCut")
    frame = pd.read_csv(path, header=None, skiprows=len(heads), index_col=0)
    if text := [i for i, (_, column) in enumerate(frame.items()) if column.dtype.kind not in "fiub"]:
        raise DataError(path, f"text in the column {' '.join(row[text[0] + 1] for row in heads)}", "numbers only",
                        "repair these cells")
    return _deeplabcut(list(zip(*(row[1:] for row in heads), strict=True)), frame.to_numpy(), frame.index.to_numpy(),
                       path, names)


def read_deeplabcut_hdf5(file, path, names=None):
    """Columns by name, frame numbers and notes of DeepLabCut's open HDF5 file.

    Names are pickled in its attributes; plain text is spelt out of them, nothing is run, anything else is refused.
    """
    held = [name for name in file if "pandas_type" in file[name].attrs]
    if len(held) > 1:
        raise DataError(path, f"several tables of pandas ({', '.join(held)})", "one", "keep one a file")
    if "table" not in file[held[0]]:
        raise DataError(path, "a table of pandas in its fixed format", "one that DeepLabCut wrote (format='table')",
                        "use the CSV beside it, or write it again with to_hdf(..., format='table')")
    stored = file[held[0]]["table"]
    blocks = sorted(name for name in stored.dtype.names if name.startswith("values_block_"))
    rows = stored[()]
    heads = [] if names else [head for name in blocks for head in _spelt(bytes(stored.attrs[f"{name}_kind"]), path)]
    return _deeplabcut(heads, np.concatenate([rows[name] for name in blocks], axis=1), rows["index"], path, names)


def _spelt(pickled, path):
    """The list of tuples of text that a pickle spells out; DataError if it holds, or would do, anything else."""
    stack, memo = [], {}
    for code, value, _ in pickletools.genops(pickled):
        name = code.name
        if name in ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE"):
            stack.append(value)
        elif name in ("MARK", "EMPTY_LIST"):
            stack.append(name if name == "MARK" else [])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("TUPLE", "LIST", "APPENDS"):
            at = len(stack) - 1 - stack[::-1].index("MARK")
            items = stack[at + 1:]
            del stack[at:]
            if name == "APPENDS":
                stack[-1].extend(items)
            else:
                stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif name == "APPEND":
            stack[-2].append(stack.pop())
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise DataError(path, f"column names in a form that is not read ({name})", "plain text",
                            "give names=, in the order of the CSV beside it, or use that CSV")
    return stack[0]


def read_sleap(file, path):
    """Columns by name, frame numbers and notes of an open analysis file of SLEAP."""
    nodes = [name.decode() if isinstance(name, bytes) else str(name) for name in file["node_names"][()]]
    tracks, notes = file["tracks"][()], []
    if tracks.ndim != 4 or tracks.shape[1:3] != (2, len(nodes)):
        if tracks.ndim != 4 or tracks.shape[1:3] != (len(nodes), 2):
            raise DataError(path, f"tracks of shape {tracks.shape}", f"(tracks, 2, {len(nodes)} nodes, frames)",
                            "export it again with SLEAP as analysis HDF5")
        tracks = tracks.T
        notes.append(f"{path.name}: tracks (frames, nodes, xy, tracks) turned to (tracks, xy, nodes, frames)")
    scores = file["point_scores"][()] if "point_scores" in file else None
    if scores is not None and notes:
        scores = scores.T
    if scores is not None and scores.shape != (len(tracks), *tracks.shape[2:]):
        raise DataError(path, f"point_scores of shape {scores.shape} for tracks of shape {tracks.shape}",
                        "(tracks, nodes, frames)", "export it again with SLEAP as analysis HDF5")
    labels = [name.decode() if isinstance(name, bytes) else str(name) for name in file["track_names"][()]] \
        if "track_names" in file else []
    labels = labels if len(labels) == len(tracks) else [f"track{i}" for i in range(len(tracks))]
    columns = {}
    for i, label in enumerate(labels):
        for j, node in enumerate(nodes):
            point = f"{label}_{node}" if len(labels) > 1 else node
            columns[f"{point}_x"], columns[f"{point}_y"] = tracks[i, :, j].astype(np.float64)
            if scores is not None:
                columns[f"{point}_likelihood"] = scores[i, j].astype(np.float64)
    return columns, np.arange(tracks.shape[-1]), notes
