"""The part of the command ``calcium-decoding`` that decodes frame by frame."""

import signal
import time
from dataclasses import replace
from pathlib import Path

FRAMES, DECODED = "tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556"


def add_stream(areas, command):
    """Add ``calcium-decoding stream``; ``command(among, name, action, **options)`` makes one."""
    stream = areas.add_parser("stream", help="decode frames as they come, replay a recording, record what was decoded")
    among = stream.add_subparsers(required=True, metavar="serve|replay|record")
    serve = command(among, "serve", _serve, help="decode the frames that are sent to an address, until Ctrl-C")
    serve.add_argument("decoder", help="file of `decode fit`")
    serve.add_argument("--bind", default=FRAMES, help="where frames come in (default: %(default)s)")
    serve.add_argument("--publish", metavar="ADDRESS", help=f"where what is decoded goes out, such as {DECODED}")
    serve.add_argument("--open", action="store_true", help="allow addresses that other machines can reach")
    serve.add_argument("--on-gap", default="carry", help="what starts anew at missing frames: carry, the window alone; "
                       "restart, everything (default: carry)")
    serve.add_argument("--hold", type=int, default=0, metavar="FRAMES", help="the last frame stands in for so many")
    serve.add_argument("--scale-by", metavar="FILE", help="of movies: one of this view, for mean image and SD")
    serve.add_argument("--threads", type=int, default=1, help="of the network (default: 1)")
    serve.add_argument("--card", metavar="FILE", help="latency card, JSON, written at the end")
    serve.add_argument("--lsl", metavar="NAME", help="to an LSL outlet of this name too (package pylsl)")
    serve.add_argument("--osc", metavar="HOST:PORT", help="an OSC message at each onset too (package python-osc)")
    serve.add_argument("--above", type=float, default=0.5, help="of --osc: what an onset rises above (default: 0.5)")
    sender = command(among, "replay", _replay, help="send a recording to such an address, on its timetable")
    sender.add_argument("recording", help=".npz or .csv file, as for data sets of your own")
    sender.add_argument("--to", default=FRAMES, help="address of the server (default: %(default)s)")
    sender.add_argument("--for", dest="decoder", help="file of the decoder: ROIs are put in its order")
    sender.add_argument("--movie", metavar="FILE", help="send the images of this movie of it in place of its traces")
    for name, kind, says in (("loops", int, "times over"), ("jitter", float, "SD of the delay of each frame, s"),
                             ("drop", float, "share that is left out"), ("double", float, "share that is sent twice"),
                             ("seed", int, "of what is random")):
        sender.add_argument(f"--{name}", type=kind, default=kind(name == "loops"), help=f"{says} (%(default)s)")
    record = command(among, "record", _record, help="write what a server publishes to a CSV file, until Ctrl-C")
    record.add_argument("--from", dest="address", default=DECODED, help="address it is published at (%(default)s)")
    record.add_argument("--out", required=True, help="CSV file: a row a frame")
    for one in (serve, record):
        one.add_argument("--seconds", type=float, default=float("inf"), help="only so long")


def _serve(options):
    import contextlib

    import calcium_decoding as cd
    from calcium_decoding.preprocessing.movie_frames import MovieScaling
    from calcium_decoding.streaming import Server, StreamDecoder, sinks
    from calcium_decoding.utils.files import write_json

    scaling = MovieScaling.of(cd.Movie(Path(options.scale_by))) if options.scale_by else None
    stream = StreamDecoder(cd.load_decoder(options.decoder), scaling=scaling, on_gap=options.on_gap,
                           hold_frames=options.hold)
    stream.warm_up()
    to = [sinks.lsl(options.lsl, stream.fitted.rate_hz)] if options.lsl else []
    to += [sinks.osc(options.osc, options.above)] if options.osc else []
    server = Server(stream, options.bind, options.publish, options.open, to, threads=options.threads,
                    say=lambda line: print(line, flush=True))
    with contextlib.closing(server):
        print(f"decoding at {server.address}, {stream.look_ahead_ms:.0f} ms of look-ahead; Ctrl-C ends", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(_after(options.seconds))
        card = server.card()
        if options.card:
            write_json(options.card, card)
        print(", ".join(f"{name} {n}" for name, n in card["frames"].items()))
        for row in card["latency"]:
            print("  ".join(f"{name} {value}" for name, value in row.items()))


def _replay(options):
    import calcium_decoding as cd
    from calcium_decoding.streaming import replay

    (recording,) = cd.read(Path(options.recording).suffix.lstrip("."), options.recording).recordings
    columns = cd.load_decoder(options.decoder).columns(recording) if options.decoder else None
    if options.movie:
        recording = replace(recording, movie=cd.Movie(Path(options.movie)))
    said = replay(recording, options.to, columns, bool(options.movie), options.loops, jitter_s=options.jitter,
                  drop=options.drop, double=options.double, seed=options.seed)
    print(f"{said['sent']} frames sent, {said['not_taken']} not taken; the latest one "
          f"{1000 * said['latest_s']:.1f} ms late")


def _record(options):
    from calcium_decoding.streaming import record

    n = record(options.address, options.out, _after(options.seconds))
    print(f"{options.out}: {n} frames" if n else f"nothing was published at {options.address}, so {options.out} was "
          f"not written; start the server with --publish {options.address}")


def _after(seconds):
    """Stop after so many seconds, or when SIGTERM comes, as at Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
