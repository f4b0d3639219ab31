"""The part of the command ``calcium-decoding`` that runs chapters and builds the book."""

import argparse
import sys
from functools import partial
from importlib import import_module

from calcium_decoding.errors import ParameterError


def add_book(areas, place):
    """Add ``calcium-decoding book`` to the command; an entry point, see :data:`calcium_decoding.cli.COMMANDS`."""
    book = areas.add_parser("book", help="run chapters, build the book, remake the test references")
    commands = book.add_subparsers(required=True, metavar="run|build|store|pdf|reference|collect|parameters|ledger")
    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument("--profile", default="demo", help="smoke, demo or paper (default: demo)")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--executor", choices=("processes", "dask"),
                       help="where folds are trained: processes of this machine, or a Dask cluster (default: the "
                            "cluster that $CALCIUM_DECODING_SCHEDULER names, else processes)")
    where.add_argument("--scheduler", metavar="ADDRESS",
                       help="of a running Dask scheduler, such as tcp://10.0.0.5:8786; with --executor dask")

    def command(name, action, parents=(), **options):
        made = commands.add_parser(name, parents=parents, **options)
        made.set_defaults(action=action)
        return made

    run = command("run", _run, [place, profile, where], help="execute one chapter")
    run.add_argument("chapter", help="such as 10_roi_rnn")
    run.add_argument("--dataset", help="name in data_manifest.yaml")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="overrides",
                     help="set a parameter of the chapter; may be given more than once")
    run.add_argument("--out", default="_build/runs", help="folder for the results (default: _build/runs)")
    command("build", _build, [place, profile, where], help="execute what changed and render the book")
    store = command("store", _store, [place, where],
                    help="make the stored training of a chapter anew, in book/stored; hours")
    store.add_argument("chapter", help="such as 10_roi_rnn")
    command("pdf", partial(_page, "printed"), help="print the rendered book into _build/book.pdf; needs Chromium")
    reference = command("reference", _reference, help="remake tests/reference for nbval")
    reference.add_argument("chapters", nargs="*", metavar="chapter", help="such as 10_roi_rnn (default: all)")
    collect = command("collect", _collect, help="gather result cards of many runs into one CSV file")
    collect.add_argument("folders", nargs="+", metavar="folder", help="searched with all below, such as results")
    collect.add_argument("--out", default="scores.csv", help="the file to write (default: scores.csv)")
    collect.add_argument("--every", action="store_true", help="also medians and single folds, not only means")
    command("parameters", partial(_page, "parameter_list"),
            help="write book/parameters.md: every parameter of every chapter")
    command("ledger", _ledger, help="write book/reproduction.md from the stored result cards")


def _run(options):
    from decoding_book import execute
    from decoding_book.parameters import typed

    overrides = {name: typed(options.chapter, name, text) for name, text in options.overrides}
    paths = execute.run(options.chapter, options.profile, options.dataset, overrides, options.out, options.data_dir,
                        _scheduler(options))
    print(*paths.values(), sep="\n")


def _store(options):
    from calcium_decoding.evaluation.cards import stored_card
    from decoding_book import execute

    card = stored_card(options.chapter)
    hours = card.seconds() / 3600 if card else 0
    said = f"its trainings took {hours:.1f} hours of one processor" if hours else "no training is stored yet"
    print(f"{options.chapter}: {said}. Finished folds are kept: stop it and go on at will.", file=sys.stderr)
    print(execute.store(options.chapter, options.data_dir, _scheduler(options)))


def _scheduler(options):
    """Address of the scheduler, empty for processes, None if nothing was said; refused if the options disagree."""
    if options.executor == "dask" and not options.scheduler:
        raise ParameterError("--executor", "dask without --scheduler", "the address of its scheduler",
                             "add --scheduler ADDRESS (start one by: dask scheduler; then dask worker ADDRESS)")
    if options.scheduler and options.executor != "dask":
        raise ParameterError("--scheduler", f"'{options.scheduler}' without --executor dask", "both or none",
                             "add --executor dask, or leave --scheduler out")
    return options.scheduler if options.executor == "dask" else "" if options.executor else None


def _build(options):
    from decoding_book import build

    index = build.build(options.profile, options.data_dir, _scheduler(options))
    print(f"\nThe book: {index}\nOpen it in a browser: {index.as_uri()}")


def _page(module, options):
    print(import_module(f"decoding_book.pages.{module}").write())


def _reference(options):
    from decoding_book import references

    for path, varying, n_scores in references.make(options.chapters):
        loose = sum(not printed for _, printed in varying)
        print(f"{path}: of {n_scores} numbers {n_scores - len(varying)} compared to the last digit, "
              f"{len(varying) - loose} within what the processor may change, {loose} not at all")


def _collect(options):
    from calcium_decoding.utils.files import write_text
    from decoding_book.pages import results

    write_text(options.out, results.collected(options.folders, options.every).to_csv(index=False))
    print(options.out)


def _ledger(options):
    from decoding_book import ledger

    path, unresolved = ledger.write()
    print(path)
    for line in unresolved:
        print(f"claims.yaml asks for what no card holds: {line}", file=sys.stderr)
    return 1 if unresolved else 0
