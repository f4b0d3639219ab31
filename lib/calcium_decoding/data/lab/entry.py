"""Entries of a lab's own manifest: made, read once, and only then written."""

import os
from dataclasses import replace
from pathlib import Path

import yaml

from calcium_decoding.data import catalog, readers
from calcium_decoding.data.lab.look import inspect
from calcium_decoding.data.recording import suitable_regime
from calcium_decoding.data.sets.entries import LocalEntry
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.utils.files import whole_file


def add(name, path, *, manifest=None, format=None, rate_hz=None, regime=None, title=None, options=None, behaviour=(),
        clock=None, label=None):
    """Write an entry for recordings of your own into a lab's manifest, after its data set was read once.

    Parameters
    ----------
    name : str
        Of the data set: small letters, digits, ``.`` and ``-``.
    path : path-like
        File or folder of the recordings.
    manifest : path-like, optional
        The lab's manifest; made if it is not there. What ``CALCIUM_DECODING_MANIFEST`` names, if left out.
    format : str, optional
        As of :func:`calcium_decoding.read`; found by :func:`inspect` if left out.
    rate_hz : float, optional
        Frames per second of one plane, where the files do not say it.
    regime : str, optional
        Name of the split; the strictest that the recordings allow if left out.
    title : str, optional
        The name, if left out.
    options : dict, optional
        Of the reader: ``animal``, ``session`` ...
    behaviour : sequence of dict
        A file each, as in an entry: ``file``, ``options``, ``how``, ``offset_s`` ...
    clock : dict, optional
        ``file``, ``options``, ``pulses``, ``rule`` ...: when each frame began.
    label : dict of str to dict, optional
        ``{"run": {"from": "speed_cm_s", "above": 0.5}}``.

    Returns
    -------
    Dataset
        As it is read by this name from now on.

    Raises
    ------
    DataError
        What cannot be read, a name that is taken, or a manifest that cannot be gone on with.
    ParameterError
        No manifest named, or no format found.
    """
    manifest = Path(manifest).expanduser().resolve() if manifest is not None else catalog.lab_manifest()
    if manifest is None:
        raise ParameterError("manifest", "none", "the file for a lab's own entries",
                             f"name it by --manifest, or by the variable {catalog.LAB_VARIABLE}")
    path = Path(path).expanduser().resolve()
    known = {entry.name: entry.root for one in (catalog.project_root() / catalog.MANIFEST_NAME, manifest)
             if one.exists() for entry in catalog.read_manifest(one, is_lab=one == manifest).entries.values()}
    if name in known:
        raise DataError(f"data set '{name}'", f"an entry of this name in {known[name]}", "a new name",
                        "choose another, or take that entry out")
    if format is None:
        look = inspect(path)
        format = look.format
        if format in ("", "behaviour"):
            raise ParameterError("format", f"{look.kind} in {path}", f"recordings: {', '.join(readers.FORMATS)}",
                                 "give --format, or see what is there: calcium-decoding data inspect")
    content = {"kind": "local", "title": title or name, "format": format, "folder": _place(path, manifest),
               **({} if rate_hz is None else {"rate_hz": rate_hz}), "regime": regime or "blocked",
               **({"options": dict(options)} if options else {}),
               **({"clock": clock | {key: _place(clock[key], manifest) for key in ("file", "pulses") if key in clock}}
                  if clock else {}),
               **({"behaviour": [{**one, "file": _place(one["file"], manifest)} for one in behaviour]}
                  if behaviour else {}),
               **({"label": label} if label else {})}
    entry = catalog.validated(LocalEntry, content, f"entry '{name}'", "mend what was given for it", is_lab=True)
    entry._name, entry._root, entry._is_lab = name, manifest.parent, True
    dataset = readers.load_entry(entry, strict=True)
    content["regime"] = regime or suitable_regime(dataset.recordings)
    _append(manifest, name, content)
    return replace(dataset, regime=content["regime"])


def _place(path, manifest):
    """A path as the manifest has it: relative to its folder if it lies below, else absolute."""
    path = Path(os.path.abspath(Path(path).expanduser()))
    return path.relative_to(manifest.parent).as_posix() if path.is_relative_to(manifest.parent) else str(path)


def _append(manifest, name, content):
    """Put an entry at the end of a manifest, whose text stays as it is."""
    before = manifest.read_text(encoding="utf-8") if manifest.exists() else "entries:\n"
    block = yaml.safe_dump({name: content}, sort_keys=False, allow_unicode=True, width=110)
    text = before.rstrip() + "\n" + "".join(f"  {line}\n" for line in block.splitlines())
    with whole_file(manifest) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            found = catalog.read_manifest(temporary, is_lab=True).entries
        except DataError as error:
            found, reason = {}, str(error)
        else:
            reason = "the entry is not among its entries"
        if name not in found:
            raise DataError(manifest, f"a file that the entry cannot be put at the end of ({reason})",
                            "entries at its end, two spaces in", f"add it by hand:\n{block}")
