"""The command ``calcium-decoding``: data sets, decoders, and what other packages add to it."""

import argparse
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

from calcium_decoding.errors import CalciumDecodingError, ParameterError
from calcium_decoding.streaming.commands import add_stream

# Options of a simulation of one's own.
_SIMULATION = "out", "jobs", "world", "seed", "animals", "sessions_per_animal", "frames_per_session", "movies"
# Entry points of this group are called with the subparsers of the command and a parent that has --data-dir.
COMMANDS = "calcium_decoding.commands"
LAB_VARIABLE = "CALCIUM_DECODING_MANIFEST"  # as in data.catalog, which is not imported for --help
# Of the words KEY=VALUE of `data add`, those that are no options of the reader.
_OF_BEHAVIOUR = "how", "exposure_s", "longest_gap_s", "offset_s"
_OF_CLOCK = "pulses", "first_pulse", "rule", "drop_frames", "offset_s"


def main(arguments=None):
    """Run one command; errors a user can mend are printed without a traceback.

    Returns the exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted, 141 nobody reads on.
    """
    options = parser().parse_args(arguments)
    named = {LAB_VARIABLE: str(Path(options.manifest).resolve())} if getattr(options, "manifest", None) else {}
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)  # chapters and folds run in processes of their own
    try:
        status = options.action(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough; Python would complain once more when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except CalciumDecodingError as error:
        print(f"calcium-decoding: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("calcium_decoding"):
            raise
        print(f"calcium-decoding: the package {error.name} is not installed; `make book` installs all of them, "
              "or: pip install -c constraints.txt -e '.[book,test]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncalcium-decoding: interrupted; finished folds are kept, the same command goes on", file=sys.stderr)
        return 130
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def parser():
    """The argument parser."""
    top = argparse.ArgumentParser(prog="calcium-decoding", description="Decode behaviour from calcium imaging.")
    areas = top.add_subparsers(required=True, metavar="command")
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--manifest", metavar="FILE", help="a lab's own data sets, beside those of data_manifest.yaml "
                       f"(default: ${LAB_VARIABLE})")
    place.add_argument("--data-dir", help="folder of data sets (default: $CALCIUM_DECODING_DATA, else data/)")

    def command(among, name, action, parents=(), **options):
        made = among.add_parser(name, parents=parents, **options)
        made.set_defaults(action=action)
        return made

    data = areas.add_parser("data", help="look into, add, list, fetch, verify and simulate data sets")
    data = data.add_subparsers(required=True, metavar="list|inspect|add|fetch|verify|simulate")
    command(data, "list", _list, [place], help="what data sets there are and which are here")
    look = command(data, "inspect", _inspect, help="say what a file or folder holds, and print an entry to start from")
    look.add_argument("path", help="a recording, a behaviour file, or a folder of them")
    add = command(data, "add", _add, [place], help="write an entry for recordings of your own, after reading them once")
    add.add_argument("name", help="for the data set: small letters, digits, . and -")
    add.add_argument("path", help="file or folder of the recordings")
    pairs = {"nargs": "+", "action": "append", "default": [], "metavar": ("FILE", "KEY=VALUE")}
    add.add_argument("--behaviour", **pairs, help="behaviour; with {animal}, {session} or {part} in its name, one a "
                     "recording. Keys: how, offset_s ..., and what read_behaviour knows: time, unit, columns ...")
    add.add_argument("--clock", nargs="+", metavar=("FILE", "KEY=VALUE"),
                     help="when each frame began. Keys: pulses=FILE, of the frames on the clock of behaviour, if that "
                     "is another one; first_pulse, rule, drop_frames, offset_s, and what read_behaviour knows")
    add.add_argument("--label", nargs="+", action="append", default=[], metavar=("NAME", "KEY=VALUE"),
                     help="a label of 0 and 1, such as: run from=speed_cm_s above=0.5. Keys: from, above, below, "
                     "shortest_s, shortest_pause_s; speed_s, where it is a position whose speed over so long counts")
    add.add_argument("--format", help="of the recordings (default: what inspect finds)")
    add.add_argument("--rate", type=float, metavar="HZ", help="frames per second of one plane, if the files do not say")
    add.add_argument("--animal", help="whose recording it is, if neither file nor folders say")
    add.add_argument("--session", help="which session it is")
    add.add_argument("--regime", help="name of the split (default: the strictest that the recordings allow)")
    add.add_argument("--title", help="for lists and pages (default: the name)")
    add.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the reader of the format")
    fetch = command(data, "fetch", _fetch, [place], help="get a data set; an interrupted fetch goes on")
    fetch.add_argument("name", help="name in data_manifest.yaml")
    verify = command(data, "verify", _verify, [place], help="compare files with their checksums")
    verify.add_argument("name", nargs="?", help="one data set (default: all that are here)")
    simulate = command(data, "simulate", _simulate, help="make the simulated data sets, or one of your own settings")
    simulate.add_argument("name", nargs="?", help="a simulated set of the manifest (default: all of them)")
    own = simulate.add_argument_group("a simulation of your own settings, in the study's file formats",
                                      argument_default=argparse.SUPPRESS)
    own.add_argument("--out", help="folder for it")
    own.add_argument("--world", help="what holds in it (default: paper_like); --world list names them")
    own.add_argument("--seed", type=int, help="seed of everything random (default: 1)")
    own.add_argument("--animals", type=int, help="1 to 5 (default: 5)")
    own.add_argument("--sessions", dest="sessions_per_animal", metavar="SESSIONS",
                     help="sessions an animal, or `study`: 11 to 15 as published (default: 4)")
    own.add_argument("--frames", dest="frames_per_session", metavar="FRAMES", type=int,
                     help="frames a session at 30 Hz; the study has 18000 (default: 2400)")
    own.add_argument("--no-movies", dest="movies", action="store_false",
                     help="ROI traces only; a movie takes 32 KiB a frame")
    own.add_argument("--jobs", type=int, help="processes (default: one a processor); the files do not depend on it")

    decode = areas.add_parser("decode", help="fit a decoder and keep it, or decode a recording with one")
    decode = decode.add_subparsers(required=True, metavar="fit|apply")
    fit = command(decode, "fit", _decode_fit, [place], help="fit a decoder on one fold of a data set and keep it")
    fit.add_argument("--dataset", required=True, help="name in data_manifest.yaml")
    fit.add_argument("--decoder", help="name of a decoder (default: gru)", default="gru")
    fit.add_argument("--target", help="run, binary:NAME, classes:NAME, or quantities, comma between (default: run)",
                     default="run")
    fit.add_argument("--preprocessing", help="name of a recipe (default: what suits the split)", default="auto")
    fit.add_argument("--window", nargs=2, type=int, metavar=("PAST", "FUTURE"), default=(15, 15),
                     help="frames before and after the decoded one (default: 15 15)")
    fit.add_argument("--epochs", type=int, help="epochs over the training windows (default: 30)", default=30)
    fit.add_argument("--fold", type=int, help="number of the fold, counted from 0 (default: 0)", default=0)
    fit.add_argument("--out", required=True, help="file for it, such as decoder.safetensors")
    apply = command(decode, "apply", _decode_apply, help="decode a recording; it needs no labels")
    apply.add_argument("decoder", help="file of `decode fit`")
    apply.add_argument("recording", help=".npz or .csv file, as for data sets of your own")
    apply.add_argument("--out", required=True, help="CSV file: a row a frame")

    add_stream(areas, command)
    for extra in entry_points(group=COMMANDS):
        extra.load()(areas, place)
    return top


def _list(options):
    from calcium_decoding.data import catalog, download

    rows = [{"name": name, "kind": entry.kind, "role": entry.role, "licence": entry.licence,
             "bytes": str(sum(file.bytes for file in download.files_of(entry)) or ""),
             "status": download.status(entry, options.data_dir)}
            for name, entry in catalog.load_manifest().entries.items()]
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in ({key: key for key in widths}, *rows):
        print("  ".join(row[key].ljust(width) for key, width in widths.items()).rstrip())


def _inspect(options):
    from calcium_decoding.data import lab

    print(lab.inspect(options.path), end="")


def _add(options):
    from calcium_decoding.data import lab

    def pairs(words):
        import yaml

        split = [word.partition("=") for word in words]
        if bad := [word for word, (_, equals, _) in zip(words, split, strict=True) if not equals]:
            raise ParameterError("data add", f"'{bad[0]}'", "KEY=VALUE", "put = between name and value")
        return {key: yaml.safe_load(value) for key, _, value in split}

    def file(words, own):
        given = pairs(words[1:])
        rest = {key: value for key, value in given.items() if key not in own}
        found = {"file": words[0], **{key: given[key] for key in given if key in own}}
        return found | ({"options": rest} if rest else {})

    about = {name: getattr(options, name) for name in ("animal", "session") if getattr(options, name)}
    dataset = lab.add(options.name, options.path, format=options.format, rate_hz=options.rate, regime=options.regime,
                      title=options.title, options=about | pairs(options.option),
                      behaviour=[file(words, _OF_BEHAVIOUR) for words in options.behaviour],
                      clock=file(options.clock, _OF_CLOCK) if options.clock else None,
                      label={words[0]: pairs(words[1:]) for words in options.label})
    for recording in dataset.recordings:
        print(f"{recording.id}: {recording.n_frames} frames of {recording.n_roi} ROIs at {recording.rate_hz:g} Hz; "
              f"behaviour {', '.join(recording.behaviour) or '(none)'}")
        for note in recording.notes:
            print(f"  {note}")
    print(f"'{dataset.name}' is now in {os.environ[LAB_VARIABLE]}; its split is {dataset.regime}")


def _fetch(options):
    from calcium_decoding.data import catalog, download

    entry = catalog.load_manifest().entry(options.name)
    if entry.kind == "simulated":
        return _simulate(options)
    print(download.fetch(entry, options.data_dir))


def _verify(options):
    from calcium_decoding.data import catalog, download

    known = catalog.load_manifest()
    names = [options.name] if options.name else list(known.entries)
    bad = 0
    for name in names:
        entry = known.entry(name)
        if not options.name and download.status(entry, options.data_dir) == "missing":
            print(f"{name}: not here")
            continue
        findings = download.verify(entry, options.data_dir)
        states = [f.state for f in findings]
        wrong = [f for f in findings if f.state not in ("ok", "unpinned")]
        bad += len(wrong)
        print(f"{name}: {states.count('ok')} files as they should be, {len(wrong)} not, "
              f"{states.count('unpinned')} without a sum to compare with")
        for finding in wrong:
            print(f"  {finding.file}: {finding.state}; found {finding.found}; expected {finding.expected}")
    return 1 if bad else 0


def _simulate(options):
    from calcium_decoding.data import catalog
    from calcium_decoding.simulation import ensure, widefield

    if getattr(options, "world", None) == "list":
        for name, world in widefield.WORLDS.items():
            print(f"{name:<22} {world.says}")
        return
    given = {name: value for name, value in vars(options).items() if name in _SIMULATION}
    if given:
        _simulate_own(options.name, given)
        return
    known = catalog.load_manifest()
    names = [options.name] if options.name else [n for n in known.entries if known.entry(n).kind == "simulated"]
    for name in names:
        folder = ensure(name)
        if folder is None:
            raise ParameterError("name", f"'{name}', which is not simulated", "a simulated set of the manifest",
                                 f"fetch it: calcium-decoding data fetch {name}")
        print(f"{name}: {folder}")


def _simulate_own(name, given):
    from calcium_decoding.simulation import widefield

    if name or "out" not in given:
        found = f"both settings and the name {name}" if name else "settings without --out"
        raise ParameterError("data simulate", found, "either a name of data_manifest.yaml, or settings with --out",
                             f"leave '{name}' or the settings out" if name else "name the folder for it by --out")
    if sessions := given.get("sessions_per_animal"):
        if sessions != "study" and not (sessions.isdecimal() and int(sessions)):
            raise ParameterError("--sessions", repr(sessions), "1 or more, or study", "give one of these")
        given["sessions_per_animal"] = widefield.AS_IN_THE_STUDY if sessions == "study" else int(sessions)
    out, jobs = given.pop("out"), given.pop("jobs", os.cpu_count() or 1)
    widefield.write_dataset(widefield.SimulationSettings(**{"movies": True} | given), out, jobs)
    print(out)


def _decode_fit(options):
    import calcium_decoding as cd
    from calcium_decoding.experiments.tasks import task_of

    experiment = cd.Experiment(cd.load_dataset(options.dataset, options.data_dir),
                               input=cd.Traces(options.preprocessing, cd.WindowSpec(*options.window)),
                               task=task_of(options.target), decoders=(options.decoder,),
                               training=cd.TrainingSettings(epochs=options.epochs))
    n = len(experiment.split.folds)
    if not 0 <= options.fold < n:
        raise ParameterError("--fold", options.fold, f"0 to {n - 1}", "name a fold of the split")
    fitted = experiment.fitted(options.decoder, options.fold)
    fitted.save(options.out)
    about, main = fitted.provenance, experiment.task.main_score
    print(f"{options.out}: {options.decoder} of {experiment.task.name}, fold {about['fold']}, trained on "
          f"{len(about['trained_on'])} recordings of {about['dataset']}"
          f"{', SIMULATED' if about['simulated'] else ''}; on the recordings held out "
          f"{main.replace('_', ' ')} {about['scores'][main]:.3f}")


def _decode_apply(options):
    import calcium_decoding as cd
    from calcium_decoding.utils.files import whole_file

    ending = Path(options.recording).suffix.lstrip(".")
    if ending not in ("npz", "csv"):
        raise ParameterError("recording", options.recording, "an .npz or a .csv file", "write it as one of these")
    (recording,) = cd.read(ending, options.recording).recordings
    table = cd.load_decoder(options.decoder).predict(recording)
    with whole_file(options.out) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{options.out}: {len(table)} of {recording.n_frames} frames of {recording.id} decoded")


if __name__ == "__main__":
    sys.exit(main())
