"""Frames of one channel and plane are found by what microscopes write beside them, and never guessed."""

import json
import pickle
import struct

import numpy as np
import pytest
import tifffile

from calcium_decoding.data.movies import Movie, mappable, split_channels
from calcium_decoding.errors import DataError, ParameterError

T, Z, C = 7, 3, 2
VOLUMES = np.random.default_rng(4).integers(0, 60_000, (T, Z, C, 6, 8)).astype(np.uint16)
PIXELS = VOLUMES.astype(np.int16)


def scanimage(path, pages, channels="[1;2]", planes=Z, flyback=0, repeats=1, **more):
    """Pages as ScanImage 2016 and later write them, settings in the tag Software, each page with a text of its own."""
    settings = {
        "hChannels.channelSave": channels, "hRoiManager.scanFrameRate": 30.0, "hScan2D.logAverageFactor": 1,
        "hStackManager.enable": str(planes > 1).lower(), "hStackManager.numSlices": 11,  # what was set some day
        "hStackManager.actualNumSlices": planes, "hStackManager.framesPerSlice": repeats if planes > 1 else 5000,
        "hStackManager.numFramesPerVolume": planes * repeats,
        "hStackManager.numFramesPerVolumeWithFlyback": planes * repeats + flyback} | more
    software = "\n".join(f"SI.{name} = {value}" for name, value in settings.items())
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for i, page in enumerate(pages):
            file.write(page, photometric="minisblack", metadata=None, software=software,
                       description=f"frameNumbers = {i}\nframeTimestamps_sec = {i / 30:.6f}")
    return path


def test_scanimage_channels_and_planes_are_taken_by_stride(tmp_path):
    path = scanimage(tmp_path / "s.tif", PIXELS.reshape(-1, 6, 8), **{"hRoiManager.scanVolumeRate": 9.5})
    with tifffile.TiffFile(path) as file:
        assert file.is_scanimage
    for z in range(Z):
        for c in range(C):
            movie = Movie(path, channel=c + 1, plane=z + 1)
            assert movie.shape == (T, 6, 8) and movie.dtype == np.int16 and movie.rate_hz == 9.5 and not movie.notes
            np.testing.assert_array_equal(movie[:], PIXELS[:, z, c])
            np.testing.assert_array_equal(movie[2:5], PIXELS[2:5, z, c])
            np.testing.assert_array_equal(Movie(path, 3, c + 1, z + 1)[:], PIXELS[:3, z, c])
    sent = pickle.dumps(movie)
    assert len(sent) < 10_000
    np.testing.assert_array_equal(pickle.loads(sent)[:], movie[:])
    np.save(tmp_path / "m.npy", PIXELS[:, -1, -1])
    assert movie.content_hash() == Movie(tmp_path / "m.npy").content_hash()
    copies = {mappable(Movie(path, channel=c, plane=1), tmp_path / "copies")[0].path for c in (1, 2)}
    assert len(copies) == (1 if movie.maps else 2)  # one file that maps, or a copy for each channel


@pytest.mark.parametrize("choice", [{}, {"channel": 1}, {"plane": 2}, {"channel": 3, "plane": 1},
                                    {"channel": 1, "plane": 4}, {"channel": 1, "plane": 0}])
def test_a_choice_that_is_absent_or_wrong_is_refused_with_what_there_is(tmp_path, choice):
    path = scanimage(tmp_path / "s.tif", PIXELS.reshape(-1, 6, 8))
    with pytest.raises(DataError, match=r"s\.tif: found 2 channels \(1, 2\) and 3 planes, 7 frames of each.*name one"):
        Movie(path, **choice)


def test_scanimage_channels_have_the_numbers_of_the_microscope(tmp_path):
    path = scanimage(tmp_path / "s.tif", PIXELS[:, 0].reshape(-1, 6, 8), "[2;4]", planes=1)
    movie = Movie(path, channel=4)
    np.testing.assert_array_equal(movie[:], PIXELS[:, 0, 1])
    assert movie.rate_hz == 30  # though the number of slices that was set once is 11
    with pytest.raises(DataError, match=r"\(2, 4\).*channel 1 asked for"):
        Movie(path, channel=1)
    one = scanimage(tmp_path / "one.tif", PIXELS[:, 0, 0], "1", planes=1)
    np.testing.assert_array_equal(Movie(one)[:], PIXELS[:, 0, 0])


def test_scanimage_fly_back_frames_and_an_interrupted_volume_are_left_out_and_said(tmp_path):
    back = np.zeros((T, 1, C, 6, 8), np.int16)
    pages = np.concatenate([PIXELS, back], axis=1).reshape(-1, 6, 8)
    path = scanimage(tmp_path / "s.tif", pages[:-3], flyback=1)
    movie = Movie(path, channel=2, plane=3)
    np.testing.assert_array_equal(movie[:], PIXELS[:-1, 2, 1])
    assert movie.rate_hz == pytest.approx(30 / 4)
    assert any("last 5 of 53 pages are left out" in note for note in movie.notes)
    assert any("2 pages of fly-back" in note for note in movie.notes)
    with pytest.raises(DataError, match=r"5 pages.*a whole volume, of 8 pages"):
        Movie(scanimage(tmp_path / "few.tif", pages[:5], flyback=1), channel=1, plane=1)


def test_scanimage_frames_that_repeat_in_a_plane(tmp_path):
    pages = np.arange(2 * 2 * 3).reshape(2, 2, 3)  # volume, plane, repeat
    path = scanimage(tmp_path / "s.tif", np.broadcast_to(pages[..., None, None], (2, 2, 3, 4, 4)).reshape(-1, 4, 4)
                     .astype(np.int16), "1", planes=2, repeats=3)
    movie = Movie(path, plane=2)
    np.testing.assert_array_equal(movie[:][:, 0, 0], pages[:, 1].ravel())
    assert movie.rate_hz is None and "no even rate" in movie.notes[0]


def test_scanimage_volumes_go_on_from_file_to_file(tmp_path):
    pages = PIXELS.reshape(-1, 6, 8)
    (tmp_path / "s").mkdir()
    for i, some in enumerate(np.split(pages, [10, 11, 30])):  # no cut falls between volumes
        scanimage(tmp_path / "s" / f"run_00001_{i + 1:05d}.tif", some)
    for c in range(C):
        np.testing.assert_array_equal(Movie(tmp_path / "s", channel=c + 1, plane=2)[:], PIXELS[:, 1, c])
    scanimage(tmp_path / "s" / "run_00001_00005.tif", pages[:6], planes=1)
    with pytest.raises(DataError, match=r"00005\.tif: found channels or planes other than"):
        Movie(tmp_path / "s", channel=1, plane=2)


def test_scanimage_before_5_is_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", PIXELS[:, 0, 0], photometric="minisblack", metadata=None,
                     description="state.configPath='x'\rstate.acq.numberOfChannelsSave=2")
    with pytest.raises(DataError, match="do not name the channels saved"):
        Movie(tmp_path / "s.tif")


@pytest.mark.parametrize("axes", ["TZC", "TCZ", "ZCT", "CTZ"])
def test_ome_axes_are_those_of_its_xml(tmp_path, axes):
    path = tmp_path / "m.ome.tif"
    pixels = VOLUMES.transpose([*["TZC".index(a) for a in axes], 3, 4])
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={
        "axes": f"{axes}YX", "TimeIncrement": 50, "TimeIncrementUnit": "ms", "Channel": {"Name": ["GCaMP", "red"]}})
    for z in range(Z):
        for c, name in enumerate(("GCaMP", "red")):
            movie = Movie(path, channel=name, plane=z + 1)
            np.testing.assert_array_equal(movie[:], VOLUMES[:, z, c])
            assert movie.rate_hz == pytest.approx(20) and movie.maps == (len(movie.files) == 1)
    with pytest.raises(DataError, match=r"2 channels \(GCaMP, red\) and 3 planes, 7 frames of each"):
        Movie(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("axes", ["TZC", "TC", "TZ"])
def test_imagej_hyperstacks(tmp_path, axes, compression):
    pixels = VOLUMES if axes == "TZC" else VOLUMES[:, 0] if axes == "TC" else VOLUMES[:, :, 0]
    tifffile.imwrite(tmp_path / "m.tif", pixels, imagej=True, compression=compression,
                     metadata={"axes": f"{axes}YX", "finterval": 0.25})
    movie = Movie(tmp_path / "m.tif", channel=2 if "C" in axes else None, plane=3 if "Z" in axes else None)
    np.testing.assert_array_equal(movie[:], VOLUMES[:, 2 if "Z" in axes else 0, 1 if "C" in axes else 0])
    assert movie.rate_hz == 4


def ome_series(folder, order):
    """OME-TIFF of several files, a frame each; ``order``: numbers in the names, by time. The first has the XML."""
    folder.mkdir()
    uuid = "urn:uuid:00000000-0000-0000-0000-{:012d}"
    head = f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
    names = [f"m_{number:03d}.ome.tif" for number in order]
    data = "".join(f'<TiffData FirstT="{t}" FirstC="0" FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="{name}">'
                   f"{uuid.format(t)}</UUID></TiffData>" for t, name in enumerate(names))
    for t, name in enumerate(names):
        text = f'<BinaryOnly MetadataFile="{names[0]}" UUID="{uuid.format(0)}"/></OME>' if t else (
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="8" SizeY="6" '
            f'SizeC="1" SizeZ="1" SizeT="{len(names)}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}'
            "</Pixels></Image></OME>")
        tifffile.imwrite(folder / name, VOLUMES[t, 0, 0], photometric="minisblack", metadata=None,
                         description=head.format(t) + text)
    return [folder / name for name in names]


def test_ome_of_several_files_goes_by_its_xml_and_not_by_names(tmp_path):
    order = [4, 2, 5, 1, 3]
    files = ome_series(tmp_path / "s", order)
    for path in (files[0], tmp_path / "s"):  # the file with the description, or the folder
        movie = Movie(path)
        assert list(movie.files) == files
        np.testing.assert_array_equal(movie[:], VOLUMES[:5, 0, 0])
    with pytest.raises(DataError, match=r"without its description.*open m_004\.ome\.tif, or the folder"):
        Movie(files[1])
    files[2].unlink()
    with pytest.raises(DataError, match=r"1 of 5 frames .*number 2 \(from 0\) \(m_005\.ome\.tif not there\)"):
        Movie(files[0])
    np.testing.assert_array_equal(Movie(files[0], 2)[:], VOLUMES[:2, 0, 0])
    tifffile.imwrite(tmp_path / "s" / "m_009.ome.tif", VOLUMES[0, 0, 0], photometric="minisblack", metadata=None)
    with pytest.raises(DataError, match=r"m_009\.ome\.tif, which the description in m_004\.ome\.tif does not name"):
        Movie(tmp_path / "s", 2)


def micro_manager(path, order, planned=T):
    """A stack as Micro-Manager writes it, by hand: header with places, summary, then pages; index at the end.

    ``order``: (channel, slice, frame) of each page.
    """
    summary = json.dumps({"MicroManagerVersion": "2.0", "Channels": C, "Slices": Z, "Frames": planned, "Positions": 1,
                          "Interval_ms": 100, "Prefix": "m", "SlicesFirst": True, "TimeFirst": False}).encode()
    content = bytearray(40) + summary
    content[:8] = struct.pack("<2sHI", b"II", 42, 40 + len(summary))
    content[16:40] = struct.pack("<6I", 483765892, 0, 99384722, 0, 2355492, len(summary))
    index = []
    for i, (c, z, t) in enumerate(order):
        start, about = len(content), b'{"FrameIndex": 0}\0'  # of 13 tags each: pixels begin 162 bytes later
        tags = [(256, 4, 1, 8), (257, 4, 1, 6), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
                (273, 4, 1, start + 162), (274, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, 6), (279, 4, 1, 96),
                (284, 3, 1, 1), (296, 3, 1, 1), (51123, 2, len(about), start + 162 + 96)]
        content += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        end = start + 162 + 96 + len(about)
        content += struct.pack("<I", end if i + 1 < len(order) else 0)
        content += VOLUMES[t, z, c].astype("<u2").tobytes() + about
        index.append((c, z, t, 0, start))
    content[8:16] = struct.pack("<2I", 54773648, len(content))
    content += struct.pack("<2I", 3453623, len(index)) + np.array(index, "<u4").tobytes()
    content[20:24] = content[28:32] = struct.pack("<I", len(content))
    content += struct.pack("<2I", 347834724, 2) + b"{}" + struct.pack("<2I", 84720485, 2) + b"{}"
    path.write_bytes(content)


def test_micro_manager_stacks_go_by_their_index(tmp_path):
    path = tmp_path / "m_MMStack_Pos0.ome.tif"
    order = [(c, z, t) for t in range(T) for c in range(C) for z in range(Z)]
    np.random.default_rng(0).shuffle(order)
    micro_manager(path, order)
    with tifffile.TiffFile(path) as file:
        assert file.is_mmstack and file.series[0].kind == "mmstack"
    for z in range(Z):
        for c in range(C):
            movie = Movie(path, channel=c + 1, plane=z + 1)
            np.testing.assert_array_equal(movie[:], VOLUMES[:, z, c])
            assert movie.rate_hz == 10
    micro_manager(path, [(c, z, t) for t in range(4) for c in range(C) for z in range(Z)])  # stopped early
    with pytest.raises(DataError, match=r"3 of 7 frames .*number 4 .*n_frames=4"):
        Movie(path, channel=1, plane=1)
    np.testing.assert_array_equal(Movie(path, 4, 2, 2)[:], VOLUMES[:4, 1, 1])


def prairieview(folder, numbers, cycles=1, kind="TSeries Timed Element", channels=(1, 2), paged=False, also=""):
    """A PrairieView series; ``numbers``: in the names of the files, in the order of time."""
    folder.mkdir()
    per_cycle, text, at = len(numbers) // cycles, "", 0.5
    for i, number in enumerate(numbers):
        if i % per_cycle == 0:
            text += f'<Sequence type="{kind}" cycle="{i // per_cycle + 1}" {also}>'
        text += f'<Frame relativeTime="{at - 0.5}" absoluteTime="{at}" index="{i % per_cycle + 1}">'
        at += 0.0625
        for c in channels:
            name = f"x_Cycle00001_Ch{c}.ome.tif" if paged else f"x_Cycle00001_Ch{c}_{number:06d}.ome.tif"
            page = f' page="{number}"' if paged else ""
            text += f'<File channel="{c}" channelName="Ch{c}"{page} filename="{name}" />'
            if not paged:
                tifffile.imwrite(folder / name, VOLUMES[i % T, i // T, c - 1], photometric="minisblack", metadata=None)
        text += "</Frame>"
        if i % per_cycle == per_cycle - 1:
            text += "</Sequence>"
    (folder / "x.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<PVScan version="5.5">{text}</PVScan>')
    (folder / "x_VoltageRecording_001.xml").write_text("<VRecSessionEntry />")
    return folder


def test_prairieview_goes_by_its_xml_and_not_by_names(tmp_path):
    folder = prairieview(tmp_path / "s", [3, 1, 2, 7, 5])
    for c in (1, 2):
        movie = Movie(folder, channel=c)
        np.testing.assert_array_equal(movie[:], VOLUMES[:5, 0, c - 1])
    np.testing.assert_array_equal(Movie(folder, channel="Ch2")[:], movie[:])
    assert movie.rate_hz == 16 and [f.name[-10:-8] for f in movie.files] == ["03", "01", "02", "07", "05"]
    np.testing.assert_allclose(movie.times_s(), 0.5 + np.arange(5) / 16)
    with pytest.raises(DataError, match=r"2 channels \(1, 2\) and 1 plane, 5 frames of each"):
        Movie(folder)
    (folder / "x_Cycle00001_Ch2_000002.ome.tif").unlink()
    with pytest.raises(DataError, match=r"number 2 .*x_Cycle00001_Ch2_000002\.ome\.tif not there"):
        Movie(folder, channel=2)
    np.testing.assert_array_equal(Movie(folder, channel=1)[:], VOLUMES[:5, 0, 0])


def test_prairieview_pages_of_one_file(tmp_path):
    folder = prairieview(tmp_path / "s", [3, 1, 2], channels=(1,), paged=True)
    tifffile.imwrite(folder / "x_Cycle00001_Ch1.ome.tif", VOLUMES[:3, 0, 0], photometric="minisblack")
    np.testing.assert_array_equal(Movie(folder)[:], VOLUMES[[2, 0, 1], 0, 0])


def test_prairieview_volumes_and_cycles(tmp_path):
    numbers = list(range(1, 13))
    volumes = prairieview(tmp_path / "v", numbers, cycles=4, kind="TSeries ZSeries Element", channels=(1,))
    movie = Movie(volumes, plane=2)
    np.testing.assert_array_equal(movie[:], np.concatenate([VOLUMES[:, 0, 0], VOLUMES[:, 1, 0]])[[1, 4, 7, 10]])
    assert movie.rate_hz == pytest.approx(16 / 3)
    xml = volumes / "x.xml"
    start = xml.read_text().rindex("<Frame")
    xml.write_text(xml.read_text()[:start] + "</Sequence></PVScan>")
    movie = Movie(volumes, plane=2)
    assert len(movie) == 3 and "the last volume is left out: 2 of 3 planes" in movie.notes
    timed = Movie(prairieview(tmp_path / "t", numbers, cycles=2, channels=(1,)))
    assert len(timed) == 12 and "2 cycles are joined" in timed.notes[0]
    both = prairieview(tmp_path / "b", numbers, cycles=4, kind="TSeries ZSeries Element", channels=(1,),
                       also='bidirectionalZ="True"')
    with pytest.raises(DataError, match="bidirectionalZ"):
        Movie(both, plane=1)


@pytest.mark.parametrize("text", ["<PVScan><Sequence>", None])
def test_prairieview_xml_that_is_damaged_or_there_twice_is_refused(tmp_path, text):
    folder = prairieview(tmp_path / "s", [1, 2], channels=(1,))
    (folder / "y.xml").write_text(text or (folder / "x.xml").read_text())
    with pytest.raises(DataError, match=r"y\.xml"):
        Movie(folder)


def test_interleaved_excitation_gives_two_movies_of_half_the_rate(tmp_path):
    path = scanimage(tmp_path / "s.tif", PIXELS[:, 0, 0], "1", planes=1)  # 7 frames
    blue, violet = split_channels(Movie(path)).values()
    np.testing.assert_array_equal(blue[:], PIXELS[[0, 2, 4], 0, 0])
    np.testing.assert_array_equal(violet[:], PIXELS[[1, 3, 5], 0, 0])
    assert blue.rate_hz == violet.rate_hz == 15 and (blue.offset_frames, violet.offset_frames) == (0, 0.5)
    assert "every 2. frame, from frame 1 (from 0)" in violet.notes
    assert blue.content_hash() != violet.content_hash()
    np.testing.assert_array_equal(Movie(*violet.opened_by)[:], violet[:])
    with pytest.raises(ParameterError, match="not split yet"):
        split_channels(blue)
    with pytest.raises(ParameterError, match="two different names"):
        split_channels(Movie(path), ("blue", "blue"))


def test_interleaved_excitation_in_compressed_files_of_a_series(tmp_path):
    pixels = VOLUMES.reshape(-1, 6, 8)
    (tmp_path / "s").mkdir()
    for i, some in enumerate(np.split(pixels, [5, 11])):
        tifffile.imwrite(tmp_path / "s" / f"m{i}.tif", some, photometric="minisblack", compression="zlib")
    movies = split_channels(Movie(tmp_path / "s"), ("violet", "blue", "green"))
    for i, movie in enumerate(movies.values()):
        np.testing.assert_array_equal(movie[:], pixels[i::3])
        np.testing.assert_array_equal(movie[1:6], pixels[i::3][1:6])
    copies = {mappable(movie, tmp_path / "copies")[0].path for movie in movies.values()}
    assert len(copies) == 3
