"""What can be chosen by name, with a line on each.

Apart from what it stands for, so that a parameter is checked before anything heavy is imported.
"""

# calcium_decoding.models.build
MODELS = {
    "gru": "gated recurrent unit of 32 units on the window",
    "lstm": "long short-term memory of 32 units on the window",
    "rnn": "simple recurrent network of 32 tanh units on the window",
    "bigru": "two GRUs of 32 units, one a direction",
    "bilstm": "two LSTMs of 32 units, one a direction",
    "birnn": "two simple recurrent networks of 32 units, one a direction",
    "gru_keras": "GRU as in the study's framework: hard sigmoid, one bias",
    "lstm_keras": "LSTM as in the study's framework: hard sigmoid, one bias",
    "logistic": "logistic regression on the labelled frame",
    "logistic_window": "logistic regression on every 5th frame of the window",
    "time_only": "logistic regression on the time since the recording began, blind to the signal",
}
SPEED_MODELS = {
    "speed_gru": "two GRUs, 64 and 32 units, then three dense layers, on the window",
    "speed_gru_scaled": "the same, in units of mean and SD of the training speed",
    "linear": "linear regression on the labelled frame",
    "ridge_window": "ridge regression on every 5th frame of the window",
}

# What some of them can decode, with the most quantities at a time; the others decode anything.
DECODES = {
    "logistic": (("binary", "classes"), None), "logistic_window": (("binary", "classes"), None),
    "time_only": (("binary",), None), "linear": (("continuous",), None), "ridge_window": (("continuous",), 1),
    "speed_gru": (("continuous",), None), "speed_gru_scaled": (("continuous",), None),
}

# calcium_decoding.models.build_image
IMAGE_MODELS = {
    "cnn": "convolutional network on the labelled image",
    "cnn_gru": "the same network on every image of a window, then two GRUs of 128 units",
    "cnn_lstm": "the same network on every image of a window, then two LSTMs of 128 units",
    "cnn_rnn": "the same network on every image of a window, then two simple recurrent networks of 128 tanh units",
}
WEIGHTS = {
    "imagenet": "EfficientNet-B0 trained on ImageNet, from the hub that timm reads; needs the network once",
    "lite0-offline": "EfficientNet-Lite0 trained on ImageNet, a file that `calcium-decoding data fetch` brings",
    "none": "EfficientNet-B0 with random weights",
}

# calcium_decoding.explain.deep_shap
EXPLAINED = "gru", "lstm", "rnn", "bigru", "bilstm", "birnn", "gru_keras", "lstm_keras"
OUTPUTS = "probability", "logit"

# calcium_decoding.models.hybrid and calcium_decoding.models.linear
FOOTSTEP_NETWORKS = {
    "hybrid": "three convolutions with a skip, two-layer BiLSTM, self-attention, mean over time",
    "no_attention": "the hybrid without self-attention",
    "no_convolution": "the hybrid without convolutions: the BiLSTM sees the cells",
    "no_bilstm": "the hybrid without the BiLSTM",
    "lstm": "two-layer LSTM, last step, two dense layers",
}
FOOTSTEP_LINEAR = {
    "logistic": "multinomial logistic (kinematics: ridge) regression on the last frame",
    "logistic_window": "the same on all frames of the window",
    "majority": "always the class (kinematics: the mean) that training frames have most",
}
FOOTSTEP_MODELS = FOOTSTEP_NETWORKS | FOOTSTEP_LINEAR
FOOTSTEP_SIZES = "april_9", "april_17", "small"

# How figures and tables call them, and their colours there: colour-blind safe, one family for the networks.
_SHOWN = {
    "gru": ("GRU", "#0072B2"), "lstm": ("LSTM", "#56B4E9"), "rnn": ("simple RNN", "#5A4FCF"),
    "bigru": ("GRU, both ways", "#004B76"), "bilstm": ("LSTM, both ways", "#3C8DBC"),
    "birnn": ("simple RNN, both ways", "#8A7FDF"), "gru_keras": ("GRU, hard sigmoid", "#00929C"),
    "lstm_keras": ("LSTM, hard sigmoid", "#7FB7BE"), "logistic": ("logistic, 1 frame", "#E69F00"),
    "logistic_window": ("logistic, window", "#009E73"), "time_only": ("time only", "#CC79A7"),
    "cnn": ("CNN", "#A6501E"), "cnn_gru": ("CNN-GRU", "#1B7837"), "cnn_lstm": ("CNN-LSTM", "#762A83"),
    "cnn_rnn": ("CNN, simple RNN", "#35978F"), "speed_gru": ("GRU, published", "#56B4E9"),
    "speed_gru_scaled": ("GRU, scaled", "#0072B2"), "linear": ("linear, 1 frame", "#E69F00"),
    "ridge_window": ("ridge, window", "#009E73")}
LABELS, COLOURS = ({name: shown[i] for name, shown in _SHOWN.items()} for i in range(2))
FOOTSTEP_LABELS = {
    "hybrid": "hybrid", "no_attention": "without attention", "no_convolution": "without convolution",
    "no_bilstm": "without BiLSTM", **{name: LABELS[name] for name in ("lstm", "logistic", "logistic_window")},
    "majority": "majority"}

_SPARE_COLOURS = "#D55E00", "#F0E442", "#999999", "#882255", "#117733", "#332288", "#AA4499", "#88CCEE"


def show(name, label="", colour=""):
    """Give a decoder that is not of this library its label and colour in figures."""
    LABELS[name] = label or LABELS.get(name, name)
    COLOURS[name] = colour or COLOURS.get(name) or _SPARE_COLOURS[(len(COLOURS) - len(_SHOWN)) % len(_SPARE_COLOURS)]
