"""The command ``calcium-decoding``: data sets and the book."""

import argparse
import os
import sys

from calcium_decoding.errors import CalciumDecodingError, ParameterError


def main(arguments=None):
    """Run one command; errors a user can mend are printed without a traceback.

    Returns
    -------
    int
        Exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        return options.action(options) or 0
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


def parser():
    """The argument parser."""
    top = argparse.ArgumentParser(prog="calcium-decoding", description="Decode behaviour from calcium imaging.")
    areas = top.add_subparsers(required=True, metavar="data|book")

    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--data-dir", help="folder of data sets (default: $CALCIUM_DECODING_DATA, else data/)")

    data = areas.add_parser("data", help="list, fetch, verify and simulate data sets")
    commands = data.add_subparsers(required=True, metavar="list|fetch|verify|simulate")
    command = commands.add_parser("list", parents=[place], help="what data sets there are and which are here")
    command.set_defaults(action=_list)
    command = commands.add_parser("fetch", parents=[place], help="get a data set; an interrupted fetch goes on")
    command.add_argument("name", help="name in data_manifest.yaml")
    command.set_defaults(action=_fetch)
    command = commands.add_parser("verify", parents=[place], help="compare files with their checksums")
    command.add_argument("name", nargs="?", help="one data set (default: all that are here)")
    command.set_defaults(action=_verify)
    command = commands.add_parser("simulate", help="make the simulated data sets, or one of your own settings")
    command.add_argument("name", nargs="?", help="a simulated set of the manifest (default: all of them)")
    own = command.add_argument_group("a simulation of your own settings, in the study's file formats")
    own.add_argument("--out", help="folder for it")
    own.add_argument("--world", help="what holds in it (default: paper_like); --world list names them")
    own.add_argument("--seed", type=int, help="seed of everything random (default: 1)")
    own.add_argument("--animals", type=int, help="1 to 5 (default: 5)")
    own.add_argument("--sessions", help="sessions an animal, or `study`: 11 to 15 as published (default: 4)")
    own.add_argument("--frames", type=int, help="frames a session at 30 Hz; the study has 18000 (default: 2400)")
    own.add_argument("--no-movies", action="store_true", help="ROI traces only; a movie takes 32 KiB a frame")
    own.add_argument("--jobs", type=int, help="processes (default: one a processor); the files do not depend on it")
    command.set_defaults(action=_simulate)

    book = areas.add_parser("book", help="run chapters, build the book, remake the test references")
    commands = book.add_subparsers(required=True, metavar="run|build|collect|reference|parameters|ledger")
    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument("--profile", default="demo", help="smoke, demo or paper (default: demo)")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--executor", choices=("processes", "dask"),
                       help="where folds are trained: processes of this machine, or a Dask cluster (default: the "
                            "cluster that $CALCIUM_DECODING_SCHEDULER names, else processes)")
    where.add_argument("--scheduler", metavar="ADDRESS",
                       help="of a running Dask scheduler, such as tcp://10.0.0.5:8786; with --executor dask")
    command = commands.add_parser("run", parents=[place, profile, where], help="execute one chapter")
    command.add_argument("chapter", help="such as 10_roi_rnn")
    command.add_argument("--dataset", help="name in data_manifest.yaml")
    command.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="overrides",
                         help="set a parameter of the chapter; may be given more than once")
    command.add_argument("--out", default="_build/runs", help="folder for the results (default: _build/runs)")
    command.set_defaults(action=_run)
    command = commands.add_parser("build", parents=[place, profile, where],
                                  help="execute what changed and render the book")
    command.set_defaults(action=_build)
    command = commands.add_parser("pdf", help="print the rendered book into _build/book.pdf; needs Chromium")
    command.set_defaults(action=_pdf)
    command = commands.add_parser("reference", help="remake tests/reference for nbval")
    command.add_argument("chapters", nargs="*", metavar="chapter", help="such as 10_roi_rnn (default: all)")
    command.set_defaults(action=_reference)
    command = commands.add_parser("collect", help="gather result cards of many runs into one CSV file")
    command.add_argument("folders", nargs="+", metavar="folder", help="searched with all below, such as results")
    command.add_argument("--out", default="scores.csv", help="the file to write (default: scores.csv)")
    command.add_argument("--every", action="store_true", help="also medians and single folds, not only means")
    command.set_defaults(action=_collect)
    command = commands.add_parser("parameters", help="write book/parameters.md: every parameter of every chapter")
    command.set_defaults(action=_parameters)
    command = commands.add_parser("ledger", help="write book/reproduction.md from the stored result cards")
    command.set_defaults(action=_ledger)
    return top


def _list(options):
    from calcium_decoding import manifest

    rows = manifest.load_manifest().table(options.data_dir)
    rows = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in ({key: key for key in widths}, *rows):
        print("  ".join(row[key].ljust(width) for key, width in widths.items()).rstrip())


def _fetch(options):
    from calcium_decoding import fetch, manifest

    entry = manifest.load_manifest().entry(options.name)
    if entry.kind == "simulated":
        return _simulate(options)
    print(fetch.fetch(entry, options.data_dir))


def _verify(options):
    from calcium_decoding import manifest

    known = manifest.load_manifest()
    names = [options.name] if options.name else known.names()
    bad = 0
    for name in names:
        entry = known.entry(name)
        if not options.name and manifest.status(entry, options.data_dir) == "missing":
            print(f"{name}: not here")
            continue
        findings = manifest.verify(entry, options.data_dir)
        states = [f.state for f in findings]
        wrong = [f for f in findings if f.state not in ("ok", "unpinned")]
        bad += len(wrong)
        print(f"{name}: {states.count('ok')} files as they should be, {len(wrong)} not, "
              f"{states.count('unpinned')} without a sum to compare with")
        for finding in wrong:
            print(f"  {finding.file}: {finding.state}; found {finding.found}; expected {finding.expected}")
    return 1 if bad else 0


def _simulate(options):
    from calcium_decoding import manifest, simulate
    from calcium_decoding.footsteps import world_files

    if getattr(options, "world", None) == "list":
        for name, world in simulate.WORLDS.items():
            print(f"{name:<22} {world.says}")
        return
    given = {name: getattr(options, name, None)
             for name in ("out", "world", "seed", "animals", "sessions", "frames", "jobs", "no_movies")}
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    if given:
        _simulate_own(options.name, given)
        return
    known = manifest.load_manifest()
    names = [options.name] if options.name else [n for n in known.names() if known.entry(n).kind == "simulated"]
    for name in names:
        folder = world_files.ensure(name) or simulate.ensure(name)
        if folder is None:
            raise ParameterError("name", f"'{name}', which is not simulated", "a simulated set of the manifest",
                                 f"fetch it: calcium-decoding data fetch {name}")
        print(f"{name}: {folder}")


def _simulate_own(name, given):
    """A simulation with settings from the command line."""
    from calcium_decoding import simulate

    if name or "out" not in given:
        found = f"both settings and the name {name}" if name else "settings without --out"
        raise ParameterError("data simulate", found, "either a name of data_manifest.yaml, or settings with --out",
                             f"leave '{name}' or the settings out" if name else "name the folder for it by --out")
    sessions = given.get("sessions", "4")
    if sessions != "study" and not (sessions.isdecimal() and int(sessions)):
        raise ParameterError("--sessions", repr(sessions), "1 or more, or study", "give one of these")
    settings = simulate.SimulationSettings(
        given.get("world", "paper_like"), given.get("seed", 1),
        simulate.AS_IN_THE_STUDY if sessions == "study" else int(sessions), given.get("frames", 2400),
        given.get("animals", 5), movies="no_movies" not in given)
    simulate.write_dataset(settings, given["out"], given.get("jobs") or os.cpu_count() or 1)
    print(given["out"])


def _run(options):
    from calcium_decoding import chapters
    from calcium_decoding.parameters import is_text

    overrides = {name: text if is_text(options.chapter, name) else _value(text) for name, text in options.overrides}
    paths = chapters.run(options.chapter, options.profile, options.dataset, overrides, options.out, options.data_dir,
                         _scheduler(options))
    for path in paths.values():
        print(path)


def _scheduler(options):
    """Address of the scheduler, empty for processes, None if nothing was said; refused if the options disagree."""
    if options.executor == "dask" and not options.scheduler:
        raise ParameterError("--executor", "dask without --scheduler", "the address of its scheduler",
                             "add --scheduler ADDRESS (start one by: dask scheduler; then dask worker ADDRESS)")
    if options.scheduler and options.executor != "dask":
        raise ParameterError("--scheduler", f"'{options.scheduler}' without --executor dask", "both or none",
                             "add --executor dask, or leave --scheduler out")
    return options.scheduler if options.executor == "dask" else "" if options.executor else None


def _value(text):
    """A parameter as typed: a whole number, a number, true or false, or else text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text.lower(), text)


def _build(options):
    from calcium_decoding import build

    index = build.build(options.profile, options.data_dir, _scheduler(options))
    print(f"\nThe book: {index}\nOpen it in a browser: {index.as_uri()}")


def _pdf(options):
    from calcium_decoding import print_book

    print(print_book.write())


def _reference(options):
    from calcium_decoding import references

    for path, varying, n_scores in references.make(options.chapters):
        loose = sum(not printed for _, printed in varying)
        print(f"{path}: of {n_scores} numbers {n_scores - len(varying)} compared to the last digit, "
              f"{len(varying) - loose} within what the processor may change, {loose} not at all")


def _collect(options):
    from calcium_decoding import collected

    print(collected.write(options.folders, options.out, options.every))


def _parameters(options):
    from calcium_decoding import parameter_page

    print(parameter_page.write())


def _ledger(options):
    from calcium_decoding import ledger

    path, unresolved = ledger.write()
    print(path)
    for line in unresolved:
        print(f"claims.yaml asks for what no card holds: {line}", file=sys.stderr)
    return 1 if unresolved else 0


if __name__ == "__main__":
    sys.exit(main())
