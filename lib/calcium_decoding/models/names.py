"""Every decoder in one row, and what else can be chosen by name. Nothing heavy is imported to look at a name."""

from dataclasses import dataclass, field

KINDS = "binary", "classes", "continuous"  # of a calcium_decoding.models.heads.Head


@dataclass(frozen=True)
class Row:
    """A decoder of this library. ``label``, ``colour``: of figures. ``makes``: its class, within
    ``calcium_decoding.models``, called with those of ``n_roi``, ``past_frames`` and ``head`` that it takes, and with
    ``options``. ``decodes``: kinds of head, the first if none is asked for; ``"images"`` of movies. ``most``:
    quantities at a time."""

    label: str
    colour: str
    what: str
    makes: str
    options: dict = field(default_factory=dict)
    decodes: tuple = KINDS
    most: int | None = None


_RNN, _KERAS, _SPEED = "recurrent.RecurrentDecoder", "recurrent.KerasDecoder", "recurrent.SpeedDecoder"
_LOGISTIC, _CNN_RNN = "linear.LogisticDecoder", "images.cnn_rnn.SequenceDecoder"
_EVENTS, _QUANTITIES, _IMAGES = ("binary", "classes"), ("continuous",), ("images",)

DECODERS = {
    "gru": Row("GRU", "#0072B2", "gated recurrent unit of 32 units on the window", _RNN),
    "lstm": Row("LSTM", "#56B4E9", "long short-term memory of 32 units on the window", _RNN, {"cell": "lstm"}),
    "rnn": Row("simple RNN", "#5A4FCF", "simple recurrent network of 32 tanh units on the window", _RNN,
               {"cell": "rnn"}),
    "bigru": Row("GRU, both ways", "#004B76", "two GRUs of 32 units, one a direction", _RNN, {"bidirectional": True}),
    "bilstm": Row("LSTM, both ways", "#3C8DBC", "two LSTMs of 32 units, one a direction", _RNN,
                  {"cell": "lstm", "bidirectional": True}),
    "birnn": Row("simple RNN, both ways", "#8A7FDF", "two simple recurrent networks of 32 units, one a direction", _RNN,
                 {"cell": "rnn", "bidirectional": True}),
    "gru_keras": Row("GRU, hard sigmoid", "#00929C", "GRU as in the study's framework: hard sigmoid, one bias", _KERAS),
    "lstm_keras": Row("LSTM, hard sigmoid", "#7FB7BE", "LSTM as in the study's framework: hard sigmoid, one bias",
                      _KERAS, {"cell": "lstm"}),
    "logistic": Row("logistic, 1 frame", "#E69F00", "logistic regression on the labelled frame", _LOGISTIC,
                    decodes=_EVENTS),
    "logistic_window": Row("logistic, window", "#009E73", "logistic regression on every 5th frame of the window",
                           _LOGISTIC, {"every_frames": 5}, _EVENTS),
    "time_only": Row("time only", "#CC79A7", "logistic regression on the time since the recording began, blind to the "
                     "signal", "linear.TimeDecoder", decodes=_EVENTS),
    "speed_gru": Row("GRU, published", "#56B4E9", "two GRUs, 64 and 32 units, then three dense layers, on the window",
                     _SPEED, decodes=_QUANTITIES),
    "speed_gru_scaled": Row("GRU, scaled", "#0072B2", "the same, in units of mean and SD of the training speed", _SPEED,
                            {"scaled": True}, _QUANTITIES),
    "linear": Row("linear, 1 frame", "#E69F00", "linear regression on the labelled frame", "linear.LinearSpeed",
                  decodes=_QUANTITIES),
    "ridge_window": Row("ridge, window", "#009E73", "ridge regression on every 5th frame of the window",
                        "linear.RidgeSpeed", {"every_frames": 5}, _QUANTITIES, most=1),
    "cnn": Row("CNN", "#A6501E", "convolutional network on the labelled image", "images.cnn_rnn.ImageDecoder",
               decodes=_IMAGES),
    "cnn_gru": Row("CNN-GRU", "#1B7837", "the same network on every image of a window, then two GRUs of 128 units",
                   _CNN_RNN, {"cell": "gru"}, _IMAGES),
    "cnn_lstm": Row("CNN-LSTM", "#762A83", "the same network on every image of a window, then two LSTMs of 128 units",
                    _CNN_RNN, {"cell": "lstm"}, _IMAGES),
    "cnn_rnn": Row("CNN, simple RNN", "#35978F", "the same network on every image of a window, then two simple "
                   "recurrent networks of 128 tanh units", _CNN_RNN, {"cell": "rnn"}, _IMAGES),
}


def _that_decode(kind):
    """Name and line of the decoders that decode this where nothing else is asked for."""
    return {name: row.what for name, row in DECODERS.items() if row.decodes[0] == kind}


MODELS, SPEED_MODELS, IMAGE_MODELS = _that_decode("binary"), _that_decode("continuous"), _that_decode("images")
LABELS = {name: row.label for name, row in DECODERS.items()}
COLOURS = {name: row.colour for name, row in DECODERS.items()}

# calcium_decoding.explain.deep_shap, which has rules for these classes
EXPLAINED = tuple(name for name, row in DECODERS.items() if row.makes in (_RNN, _KERAS))
OUTPUTS = "probability", "logit"

WEIGHTS = {  # first weights of a convolutional network
    "imagenet": "EfficientNet-B0 trained on ImageNet, from the hub that timm reads; needs the network once",
    "lite0-offline": "EfficientNet-Lite0 trained on ImageNet, a file that `calcium-decoding data fetch` brings",
    "none": "EfficientNet-B0 with random weights",
}

# Decoders of footsteps, with label and line: calcium_decoding.models.hybrid and calcium_decoding.models.linear.
FOOTSTEP_NETWORKS = {
    "hybrid": ("hybrid", "three convolutions with a skip, two-layer BiLSTM, self-attention, mean over time"),
    "no_attention": ("without attention", "the hybrid without self-attention"),
    "no_convolution": ("without convolution", "the hybrid without convolutions: the BiLSTM sees the cells"),
    "no_bilstm": ("without BiLSTM", "the hybrid without the BiLSTM"),
    "lstm": ("LSTM", "two-layer LSTM, last step, two dense layers"),
}
FOOTSTEP_LINEAR = {
    "logistic": ("logistic, 1 frame", "multinomial logistic (kinematics: ridge) regression on the last frame"),
    "logistic_window": ("logistic, window", "the same on all frames of the window"),
    "majority": ("majority", "always the class (kinematics: the mean) that training frames have most"),
}
FOOTSTEP_MODELS = FOOTSTEP_NETWORKS | FOOTSTEP_LINEAR
FOOTSTEP_LABELS = {name: label for name, (label, _) in FOOTSTEP_MODELS.items()}
FOOTSTEP_SIZES = "april_9", "april_17", "small"

_SPARE_COLOURS = "#D55E00", "#F0E442", "#999999", "#882255", "#117733", "#332288", "#AA4499", "#88CCEE"


def show(name, label="", colour=""):
    """Give a decoder that is not of this library its label and colour in figures."""
    LABELS[name] = label or LABELS.get(name, name)
    COLOURS[name] = colour or COLOURS.get(name) or _SPARE_COLOURS[(len(COLOURS) - len(DECODERS)) % len(_SPARE_COLOURS)]
