"""What can be asked for by name, with a line on each.

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

# How figures and tables call them.
LABELS = {
    "gru": "GRU", "lstm": "LSTM", "rnn": "simple RNN", "bigru": "GRU, both ways", "bilstm": "LSTM, both ways",
    "birnn": "simple RNN, both ways", "gru_keras": "GRU, hard sigmoid", "lstm_keras": "LSTM, hard sigmoid",
    "logistic": "logistic, 1 frame", "logistic_window": "logistic, window", "time_only": "time only",
    "cnn": "CNN", "cnn_gru": "CNN-GRU", "cnn_lstm": "CNN-LSTM", "cnn_rnn": "CNN, simple RNN",
    "speed_gru": "GRU, published", "speed_gru_scaled": "GRU, scaled", "linear": "linear, 1 frame",
    "ridge_window": "ridge, window"}
FOOTSTEP_LABELS = {
    "hybrid": "hybrid", "no_attention": "without attention", "no_convolution": "without convolution",
    "no_bilstm": "without BiLSTM", **{name: LABELS[name] for name in ("lstm", "logistic", "logistic_window")},
    "majority": "majority"}
