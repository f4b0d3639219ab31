"""Which page of which file is the frame of a time, a plane and a channel, as microscopes write it down."""

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from calcium_decoding.errors import DataError

_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0, "h": 3600.0}
_ONE = "grey frames of one plane and one channel"


@dataclass(frozen=True, eq=False)
class Layout:
    """Pages of a movie by what is in them.

    ``channels``: their names or numbers. One of these says where pages are, over all files end to end (-1: nowhere);
    without any, they are the frames. ``pages``: their numbers, int, (T, planes, channels). ``places``: number of the
    file and first byte in it, or, with ``by_page``, page in it, (T, planes, channels, 2). ``volume``: for volumes that
    go on from file to file, the pages of one, and which those of a plane are, (planes, repeats, channels).

    ``files``: which, where not that alone which was opened. ``times_s``: (T, planes). ``missing``: why pages are
    nowhere.
    """

    channels: tuple = (1,)
    pages: np.ndarray | None = None
    places: np.ndarray | None = None
    by_page: bool = False
    volume: tuple | None = None
    files: tuple[Path, ...] = ()
    rate_hz: float | None = None
    times_s: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    missing: str = ""

    def of(self, where, stacks, channel, plane, n_frames):
        """Pages (T,), times (T,) or None, and notes, of a channel and a plane; DataError: they are not there, or are
        not named though there are several, or frames are missing. ``n_frames``: use so many."""
        pages, notes, n_pages = self.pages, self.notes, sum(stack.shape[0] for stack in stacks)
        if self.places is not None:
            pages = self._numbered(where, stacks)
        elif pages is None:
            pages = np.arange(n_pages)[:, None, None]
        if self.volume:
            size, within = self.volume
            n_volumes, rest = divmod(n_pages, size)
            if not n_volumes:
                raise DataError(where, f"{n_pages} pages", f"a whole volume, of {size} pages",
                                "name the file of a recording that was not broken off")
            pages = (np.arange(n_volumes) * size)[:, None, None, None] + within.transpose(1, 0, 2)
            pages = pages.reshape(-1, *within.shape[::2])
            if rest:
                notes += (f"the last {rest} of {n_pages} pages are left out: a whole volume has {size}",)
        n_planes = pages.shape[1]
        c = _chosen(where, "channel", channel, self.channels, pages.shape, self.channels)
        z = _chosen(where, "plane", plane, tuple(range(1, n_planes + 1)), pages.shape, self.channels)
        pages = pages[:n_frames, z, c]
        if (pages < 0).any():
            first = int(np.argmax(pages < 0))
            raise DataError(where, f"{np.count_nonzero(pages < 0)} of {len(pages)} frames that are in no file, the "
                            f"first of them number {first} (from 0){self.missing}",
                            "each frame that its description names",
                            f"fetch what is missing, or use those before it: n_frames={first}" if first else
                            "fetch what is missing")
        return pages, None if self.times_s is None else self.times_s[:n_frames, z], notes

    def _numbered(self, where, stacks):
        """Numbers of pages, from files and places in them."""
        pages, before = np.full(self.places.shape[:-1], -1), 0
        for i, stack in enumerate(stacks):
            here, n = self.places[..., 0] == i, stack.shape[0]
            place = self.places[here, 1]
            first = np.arange(n) if self.by_page else stack.first_bytes
            order = np.argsort(first)
            number = order[np.minimum(np.searchsorted(first[order], place), n - 1)]
            if (first[number] != place).any():
                raise DataError(stack.path, f"{n} pages, none of them where {Path(where).name} says it is",
                                "a file that fits its description", "fetch or write the file again")
            pages[here], before = number + before, before + n
        return pages


def _chosen(where, what, wanted, there, shape, channels):
    if wanted is None and len(there) == 1:
        return 0
    found = [i for i, name in enumerate(there) if wanted is not None and str(wanted) in (str(name), f"Ch{name}")]
    if len(found) == 1:
        return found[0]
    counts = (f"{len(channels)} channel{'s' * (len(channels) > 1)} ({', '.join(map(str, channels))}) and {shape[1]} "
              f"plane{'s' * (shape[1] > 1)}, {shape[0]} frames of each")
    raise DataError(where, counts + (f", and {what} {wanted!r} asked for" if wanted is not None else ""), _ONE,
                    f"name one: {what}={there[0]!r}" + (f" .. {there[-1]!r}" if len(there) > 1 else ""))


def joined(paths, layouts):
    """Layout of files that go on one after the other, of their layouts or None; DataError: of different ones."""
    first = layouts[0]
    if len(layouts) == 1 or not any(layouts):
        return first
    for path, other in zip(paths[1:], layouts[1:], strict=True):
        if _form(other) != _form(first):
            raise DataError(path, "channels or planes other than in the file before", f"as in {paths[0].name}",
                            "keep the files of one movie in the folder")
    if first.volume:
        return first
    edges = np.cumsum([0, *(layout.pages.size for layout in layouts)])
    return replace(first, pages=np.concatenate([layout.pages + edge for layout, edge in
                                                zip(layouts, edges, strict=False)]))


def _form(layout):
    if layout is None:
        return None
    volume = layout.volume and (layout.volume[0], layout.volume[1].shape)
    return layout.channels, volume, None if layout.pages is None else layout.pages.shape[1:], bool(layout.files)


def scanimage(path, file):
    """Layout by metadata of ScanImage 5 or later: channels fastest, then repeats in a plane, planes, fly-back."""
    page = file.pages.first
    found = (file.scanimage_metadata or {}).get("FrameData") or {}
    for text in (page.software, page.description):
        if "SI.hChannels.channelSave" not in found and "SI.hChannels.channelSave" in text:
            found = {key.removeprefix("scanimage."): value for key, value in tifffile.matlabstr2py(text).items()}
    if "SI.hChannels.channelSave" not in found:
        raise DataError(path, "metadata of ScanImage that do not name the channels saved",
                        "SI.hChannels.channelSave, as of ScanImage 5 or later",
                        "save it as plain TIFF, a channel and plane a file")

    def number(*names, default):
        values = (found.get(f"SI.{name}") for name in names)
        return next((v for v in values if isinstance(v, int | float) and np.isfinite(v) and v > 0), default)

    channels = tuple(np.ravel(found["SI.hChannels.channelSave"]).tolist())
    averaged = number("hScan2D.logAverageFactor", default=1)
    n_planes, repeats, flyback = 1, 1, 0
    if found.get("SI.hStackManager.enable") or found.get("SI.hFastZ.enable"):
        n_planes = int(number("hStackManager.actualNumSlices", "hStackManager.numSlices", default=1))
        repeats = max(1, int(number("hStackManager.framesPerSlice", default=1) // averaged))
        with_flyback = number("hStackManager.numFramesPerVolumeWithFlyback", default=0)
        flyback = int(with_flyback - number("hStackManager.numFramesPerVolume", default=n_planes * repeats)
                      if with_flyback else number("hFastZ.numDiscardFlybackFrames", default=0))
    within = np.arange(n_planes * repeats * len(channels)).reshape(n_planes, repeats, len(channels))
    rate = number("hRoiManager.scanFrameRate", default=None)
    notes = ()
    if n_planes > 1:
        rate = number("hRoiManager.scanVolumeRate", default=rate and rate / (n_planes * repeats + flyback))
    elif rate:
        rate /= averaged
    if repeats > 1 and n_planes > 1:
        rate, notes = None, (f"{repeats} frames of a plane follow each other before the next plane: no even rate",)
    size = (n_planes * repeats + flyback) * len(channels)
    if flyback:
        notes += (f"{flyback * len(channels)} pages of fly-back in each volume are left out",)
    return Layout(channels, volume=(size, within), rate_hz=rate, notes=notes)


def by_axes(path, file):
    """Layout by the axes in the description of one file, of ImageJ or tifffile; None: one axis, the frames."""
    series = file.series
    long = [[(a, n) for a, n in zip(s.axes[:-2], s.shape[:-2], strict=True) if n > 1] for s in series]
    rate = _imagej_rate(file.imagej_metadata or {})
    if max(map(len, long)) < 2:
        return None if rate is None else Layout(pages=np.arange(sum(s.size // np.prod(s.shape[-2:]) for s in series),
                                                                dtype=int)[:, None, None], rate_hz=rate)
    axes = dict(long[0])
    if len(series) > 1 or not axes.keys() <= set("TZC"):
        raise DataError(path, f"axes {series[0].axes} of lengths {series[0].shape}", f"{_ONE}, (T, rows, columns)",
                        "store one grey page a frame, with no axes but T, Z and C")
    pages = np.arange(np.prod(list(axes.values()))).reshape(list(axes.values()))
    return _arranged(pages, "".join(axes), rate_hz=rate)


def _imagej_rate(metadata):
    interval = metadata.get("finterval", 0)
    unit = _SECONDS.get(str(metadata.get("tunit", "s")).strip())
    return 1 / (interval * unit) if isinstance(interval, int | float) and interval > 0 and unit else None


def _arranged(pages, axes, channels=None, **more):
    """Layout of page numbers with any axes; without T, the frames are those of Z."""
    if "T" not in axes and "Z" in axes:
        axes = axes.replace("Z", "T")
        more["notes"] = ("its axis Z is taken for time: it has no other",)
    for axis in "TZC":
        if axis not in axes:
            pages, axes = pages[..., None], axes + axis
    pages = pages.transpose([axes.index(axis) for axis in "TZC"])
    return Layout(tuple(channels or range(1, pages.shape[2] + 1)), pages, **more)


def in_files(file):
    """Whether pages are told apart by an index: OME-TIFF, or a stack of Micro-Manager."""
    return file.series[0].kind in ("ome", "mmstack", "ndtiff") or "BinaryOnly" in (file.ome_metadata or "")


def master_of(path):
    """File that describes an OME-TIFF file that does not do so itself, Path; else the file."""
    with tifffile.TiffFile(path) as file:
        found = re.search(r'<(?:\w+:)?BinaryOnly[^>]*MetadataFile="([^"]+)"', file.pages.first.description)
    return Path(path).with_name(found[1]) if found and Path(found[1]).name == found[1] else Path(path)


def indexed(path, file):
    """Layout by the index of OME-XML or Micro-Manager, which may lead to more files."""
    series, xml = file.series[0], file.ome_metadata or ""
    if "BinaryOnly" in xml:
        raise DataError(path, "a part of an OME-TIFF series, without its description", "the file that has it",
                        f"open {master_of(path).name}, or the folder")
    lengths = {axis: n for axis, n in zip(series.axes[:-2], series.shape[:-2], strict=True) if n > 1}
    if series.kind == "mmstack" and file.micromanager_metadata["Summary"].get("Frames", 1) > 1:
        lengths.setdefault("T", 1)
    if len(file.series) > 1 or not lengths.keys() <= set("TZC"):
        raise DataError(path, f"{len(file.series)} images of axes {series.axes}, lengths {series.shape}",
                        "one image of axes T, Z and C", "save each position as a file of its own")
    index, files = np.full((len(series.pages), 2), -1), {}
    for i, page in enumerate(series.pages):
        if page is not None and page.dataoffsets and page.dataoffsets[0]:
            handle = page.parent.filehandle
            index[i] = files.setdefault(Path(handle.dirname) / handle.name, len(files)), page.dataoffsets[0]
    absent = [name for name in dict.fromkeys(re.findall(r'FileName="([^"]+)"', xml))
              if not path.with_name(name).exists()]
    names = re.findall(r'<(?:\w+:)?Channel\b[^>]*?\bName="([^"]+)"', xml)
    layout = _arranged(np.arange(len(index)).reshape(list(lengths.values())), "".join(lengths),
                       names if len(names) == len(set(names)) == lengths.get("C", 1) else None)
    places = index[layout.pages]
    if series.kind == "mmstack":  # of which tifffile gives the frames that are there, as if they were all
        settings = file.micromanager_metadata
        before = int(settings["IndexMap"][:, 2].min())
        after = int(settings["Summary"].get("Frames", 1)) - before - len(places)
        places = np.pad(places, ((before, max(0, after)), *[(0, 0)] * 3), constant_values=-1)
    return replace(layout, pages=None, places=places, files=tuple(files), rate_hz=_rate(file, xml),
                   missing=f" ({', '.join(absent[:3])}{', ...' * (len(absent) > 3)} not there)" if absent else "")


def _rate(file, xml):
    interval, unit = (re.search(rf'TimeIncrement{name}="([^"]+)"', xml) for name in ("", "Unit"))
    seconds = float(interval[1]) * _SECONDS.get(unit[1] if unit else "s", 0) if interval else 0
    if not seconds:
        seconds = float(((file.micromanager_metadata or {}).get("Summary") or {}).get("Interval_ms") or 0) / 1e3
    return 1 / seconds if seconds > 0 else None


def prairieview(folder):
    """Layout of a PrairieView (Bruker) series by the XML file in its folder; None: there is none.

    Channels go by number or name. Cycles of planes (``ZSeries``) are volumes; other cycles are joined.
    """
    found = []
    for path in sorted(Path(folder).glob("*.xml")):
        with open(path, encoding="utf-8", errors="replace") as file:
            if "<PVScan" in file.read(2000):
                found.append(path)
    scans = []
    for path in found:
        try:
            scans.append((path, ElementTree.parse(path).getroot()))
        except ElementTree.ParseError as error:
            raise DataError(path, f"no readable XML ({error})", "the XML file of a PrairieView series",
                            "fetch it again, or keep it out of the folder") from error
    scans = [(path, root) for path, root in scans if root.find("Sequence/Frame/File") is not None]
    if not scans:
        return None
    if len(scans) > 1:
        raise DataError(folder, f"{len(scans)} series: {', '.join(path.name for path, _ in scans)}", "one a folder",
                        "keep the files of one series in the folder")
    return _of_scan(*scans[0])


def _of_scan(path, root):
    cycles = [(cycle.get("type", ""), cycle.get("bidirectionalZ", ""), cycle.findall("Frame"))
              for cycle in root.findall("Sequence")]
    cycles = [cycle for cycle in cycles if cycle[2]]
    if any(both.lower() == "true" for _, both, _ in cycles):
        raise DataError(path, "planes scanned down and up in turn (bidirectionalZ)", "planes in one order",
                        "save each plane as a series of its own")
    is_volume = all("ZSeries" in kind for kind, _, _ in cycles)
    n_planes, notes = len(cycles[0][2]) if is_volume else 1, ()
    if is_volume and len(cycles) > 1 and len(cycles[-1][2]) < n_planes:
        notes = (f"the last volume is left out: {len(cycles[-1][2])} of {n_planes} planes",)
        del cycles[-1]
    if is_volume and (wrong := [i for i, cycle in enumerate(cycles, 1) if len(cycle[2]) != n_planes]):
        raise DataError(path, f"{len(cycles[wrong[0] - 1][2])} planes in cycle {wrong[0]}, {n_planes} in the first",
                        "as many in each", "save the cycles that differ as series of their own")
    if not is_volume and len(cycles) > 1:
        notes = (f"{len(cycles)} cycles are joined; between them time passed, see times_s",)
    frames = [frame for _, _, some in cycles for frame in some]
    channels = sorted({file.get("channel", "1") for frame in frames for file in frame.findall("File")})
    files, seen, pages = {}, {}, np.full((len(frames), len(channels)), -1)
    places = np.full((*pages.shape, 2), -1)
    for i, frame in enumerate(frames):
        for file in frame.findall("File"):
            name = file.get("filename", "")
            seen[name] = int(file.get("page", seen.get(name, 0) + 1))
            if path.with_name(name).is_file():
                places[i, channels.index(file.get("channel", "1"))] = files.setdefault(name, len(files)), seen[name] - 1
    absent = [name for name in seen if name not in files]
    times = np.array([float(frame.get("absoluteTime", "nan")) for frame in frames]).reshape(-1, n_planes)
    steps = np.diff(times[:, 0])
    rate = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else None
    return Layout(tuple(int(c) if c.isdigit() else c for c in channels), by_page=True,
                  places=places.reshape(-1, n_planes, len(channels), 2), rate_hz=rate, notes=notes,
                  files=tuple(path.with_name(name) for name in files), times_s=times if np.isfinite(times).all() else
                  None, missing=f" ({absent[0]}{' and others' * (len(absent) > 1)} not there)" if absent else "")


def picked(stacks, pages):
    """Stacks of some pages, (T,), in their order; numbers of pages run on from stack to stack."""
    edges = np.cumsum([0, *(stack.shape[0] for stack in stacks)])
    files, found = np.searchsorted(edges, pages, "right") - 1, []
    for start, stop in itertools.pairwise([0, *(np.flatnonzero(np.diff(files)) + 1).tolist(), len(pages)]):
        while start < stop:  # a run of pages at equal distances in one file is one stack
            steps = np.diff(pages[start:stop])
            step = int(steps[0]) if len(steps) and steps[0] > 0 else 1
            n = 1 + (int(np.argmin(goes_on)) if not (goes_on := steps == step).all() else len(steps))
            found.append(stacks[files[start]].every(int(pages[start] - edges[files[start]]), step, n))
            start += n
    return found
