"""Progress bars that suit the place: widgets in JupyterLab, text in a terminal and in batch runs."""

import os

BATCH_VARIABLE = "CALCIUM_DECODING_BATCH"


def progress(iterable, **options):
    """A tqdm bar over ``iterable``; options as for :class:`tqdm.tqdm`.

    The chapter runner sets the environment variable ``CALCIUM_DECODING_BATCH``: bars are then plain text on standard
    error, which the runner shows in the terminal and takes out of the page.
    """
    if os.environ.get(BATCH_VARIABLE):
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm(iterable, **options)
