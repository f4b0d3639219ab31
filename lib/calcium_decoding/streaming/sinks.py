"""Where else decoded values go: an outlet of the Lab Streaming Layer, OSC messages at onsets."""

import math

from calcium_decoding.errors import ParameterError
from calcium_decoding.streaming.wire import package


def lsl(name, rate_hz):
    """A sink that pushes the first decoded value of each frame to an LSL outlet of this name."""
    pylsl = package("pylsl", "pylsl")
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "decoded", 1, rate_hz, "double64", f"calcium-decoding-{name}"))
    return lambda decoded: outlet.push_sample([decoded.value])


def osc(address, above):
    """A sink that sends ``/decoded/onset``, frame and value, to ``host:port`` when the value rises above a level."""
    client, (host, _, port) = package("pythonosc.udp_client", "python-osc"), address.rpartition(":")
    if not host or not port.isdecimal():
        raise ParameterError("--osc", repr(address), "HOST:PORT", "give both, such as 127.0.0.1:9000")
    send, rises = client.SimpleUDPClient(host, int(port)).send_message, Onsets(above)
    return lambda decoded: send("/decoded/onset", [decoded.frame, decoded.value]) if rises(decoded) else None


class Onsets:
    """Whether the value rises above a level with this frame; nothing rises across a gap."""

    def __init__(self, above):
        self.above, self.last, self.frame = above, math.inf, None

    def __call__(self, decoded):
        rises = self.last <= self.above < decoded.value and decoded.frame - 1 == self.frame
        self.last, self.frame = decoded.value, decoded.frame
        return rises
