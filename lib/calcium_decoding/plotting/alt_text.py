"""What a figure shows in words, for who does not see it; and figures as sharp as a screen can show them."""

from collections import Counter

from matplotlib.collections import PathCollection

MOST_NAMES = 12  # longer lists of categories or panels are cut, and say so
SIMULATED = "simulated"


def describe(figure):
    """Kind of marks, titles, axes, legends and categories of a matplotlib Figure, as one line of text; no values."""
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and ax.get_visible()]
    colours = [ax.get_ylabel() or ax.get_xlabel() for ax in figure.axes if ax.get_label() == "<colorbar>"]
    said = Counter(filter(None, map(_panel, panels)))
    parts = [f"{text} ({n} panels alike)" if n > 1 else text for text, n in said.items()]
    if len(parts) > 1:
        parts = [f"Panel {i}: {text}" for i, text in enumerate(parts, start=1)]
    if len(parts) > MOST_NAMES:
        parts = [*parts[:MOST_NAMES], f"and {len(parts) - MOST_NAMES} more panels"]
    if colours := list(dict.fromkeys(filter(None, colours))):
        parts.append(f"Colour: {', '.join(colours)}")
    simulated = any(text.get_text() == SIMULATED for ax in figure.axes for text in ax.texts)
    said = ". ".join([*(["Simulated data"] if simulated else []), *parts]) + "."
    return " ".join(said.replace("$", "").split())


def _panel(ax):
    """One panel; a panel without axes is what its texts say."""
    marks = " and ".join(_marks(ax))
    words = [text.get_text() for text in ax.texts if text.get_text() not in ("", SIMULATED)]
    if not marks:
        return "; ".join(words[:MOST_NAMES])
    title = next(filter(None, (ax.get_title(loc=place) for place in ("left", "center", "right"))), "")
    parts = [f"{title}: {marks}" if title else marks.capitalize()]
    parts[0] += "".join(f", {name} {label}" for name, label in (("x", ax.get_xlabel()), ("y", ax.get_ylabel()))
                        if label and ax.axison)
    for axis in (ax.xaxis, ax.yaxis):
        if names := _categories(axis):
            parts.append(f"for {_listed(names)}")
    if (legend := ax.get_legend()) and legend.get_texts():
        parts.append(f"legend {_listed([text.get_text() for text in legend.get_texts()])}")
    return "; ".join(parts)


def _marks(ax):
    """What is drawn, the most telling first."""
    kinds = []
    if ax.images:
        kinds.append("picture")
    lines = [line for line in ax.lines if line.get_visible() and len(line.get_xdata())]
    if any(len(patch.get_path()) > 2 for patch in ax.containers for patch in getattr(patch, "patches", ())):
        kinds.append("bars")
    dots = [line for line in lines if line.get_linestyle() == "None"]
    if dots or any(isinstance(c, PathCollection) and len(c.get_offsets()) for c in ax.collections):
        kinds.append("dots")
    if any(line.get_linestyle() != "None" and len(line.get_xdata()) > 2 for line in lines):
        kinds.append("curves")
    if not kinds and (lines or ax.collections or ax.patches):
        kinds.append("marks")
    return kinds


def _categories(axis):
    """Tick labels that are words, not numbers; none where ticks are not shown."""
    labels = [label.get_text() for label in axis.get_ticklabels() if label.get_visible()]
    return [label for label in labels if any(letter.isalpha() for letter in label) and "mathdefault" not in label]


def _listed(names):
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def show_in_notebooks():
    """Figures of this notebook at twice the dots, each with its description; nothing happens outside a notebook."""
    from IPython import get_ipython
    from matplotlib import get_backend

    shell = get_ipython()
    if shell is None or "inline" not in get_backend().lower():
        return
    import matplotlib_inline.backend_inline  # noqa: F401  it sets its own way of showing figures when first imported
    from matplotlib.figure import Figure

    shell.display_formatter.formatters["image/png"].for_type(Figure, _sharp)


def _sharp(figure):
    """PNG at twice the dots with size and description, as IPython takes it; None of an empty figure."""
    from IPython.core.pylabtools import retina_figure

    alt = describe(figure)
    shown = retina_figure(figure, base64=True)
    return shown and (shown[0], shown[1] | {"alt": alt})
