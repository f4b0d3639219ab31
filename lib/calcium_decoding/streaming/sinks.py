"""Where else decoded values go: an outlet of the Lab Streaming Layer, OSC messages at onsets."""

import importlib
import math

from calcium_decoding.errors import ParameterError


def lsl(name, stream):
    """A sink that pushes the first decoded value of each frame to an LSL outlet of this name."""
    pylsl = _package("pylsl", "pylsl", "LSL")
    about = pylsl.StreamInfo(name, "decoded", 1, stream.fitted.rate_hz, "double64", f"calcium-decoding-{name}")
    outlet = pylsl.StreamOutlet(about)
    return lambda decoded: outlet.push_sample([decoded.value])


def osc(address, above):
    """A sink that sends ``/decoded/onset`` with frame and value to ``host:port`` when the value rises above a level."""
    client, (host, _, port) = _package("pythonosc.udp_client", "python-osc", "OSC"), address.rpartition(":")
    if not host or not port.isdecimal():
        raise ParameterError("--osc", repr(address), "HOST:PORT", "give both, such as 127.0.0.1:9000")
    send, rises = client.SimpleUDPClient(host, int(port)).send_message, Onsets(above)
    return lambda decoded: send("/decoded/onset", [decoded.frame, decoded.value]) if rises(decoded) else None


class Onsets:
    """Whether the value has risen above a level with this frame; nothing rises across a gap."""

    def __init__(self, above):
        self.above, self.last, self.frame = above, math.inf, None

    def __call__(self, decoded):
        rises = self.last <= self.above < decoded.value and decoded.frame - 1 == self.frame
        self.last, self.frame = decoded.value, decoded.frame
        return rises


def _package(module, package, what):
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ParameterError(what, f"no package {package}", f"{package}, which sends {what}",
                             f"pip install {package}") from None
