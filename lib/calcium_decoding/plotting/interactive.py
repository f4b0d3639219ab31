"""Interactive figures: a recording, numbers by ROI on the cortex, a map of cells. They work without a network."""

import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np
from bokeh.embed import components
from bokeh.layouts import column
from bokeh.models import FixedTicker, HoverTool, LinearColorMapper, Range1d, RangeTool, Title
from bokeh.palettes import Blues256, Magma256, Reds256, diverging_palette
from bokeh.plotting import figure
from skimage.measure import find_contours

from calcium_decoding.data.published import roi_table
from calcium_decoding.evaluation import convergence
from calcium_decoding.models.names import COLOURS, LABELS
from calcium_decoding.plotting import script
from calcium_decoding.plotting.brain import anatomy_of
from calcium_decoding.plotting.style import RUN, SIGNAL, WARNING, is_simulated, stretches

MOST_FRAMES = 12_000  # a page that holds more opens slowly


@dataclass(frozen=True, eq=False)
class Browser:
    """An interactive figure (a bokeh layout), as a notebook shows it; ``says``: for who does not see it."""

    layout: object
    says: str

    def _repr_html_(self):
        drawing, div = components(self.layout, wrap_script=True)
        return (f'<div class="browser" role="group" aria-label="{escape(self.says)}">{script.inlined()}'
                f"{div}{drawing}</div>")


def recording(of, rois, folds, start_s, length_s=20.0):
    """Traces and decoded probability of a whole recording; the window in the strip at the bottom is dragged. Browser.

    ``rois``: columns of the signal, from 0. ``folds``: FoldResults that test the recording, one a decoder. ``start_s``,
    ``length_s``: what is shown first.
    """
    step = -(-of.n_frames // MOST_FRAMES)
    frames = np.arange(0, of.n_frames, step)
    end_s = of.n_frames / of.rate_hz
    shown = Range1d(max(start_s, 0), min(start_s + length_s, end_s), bounds=(0, end_s))
    top = _panel(300, shown, "ROI", "xpan,xwheel_zoom,xbox_zoom,reset", title=of.id)
    _above(top, "simulated" * is_simulated(of), "right")
    one = folds[0] if folds else None
    top_class = len(one.classes) - 1 if one is not None and one.classes else 0
    what = "run" if one is None else one.target
    middle = _panel(170, shown, what if top_class else f"p({what})", y_range=(-0.03, 1.03 * max(top_class, 1)))
    whole = _panel(80, Range1d(0, end_s), "", y_range=(0, 1))
    start, stop = stretches(of.behaviour.get("run" if top_class else what, np.zeros(of.n_frames))).T / of.rate_hz
    for panel in (top, middle, whole):
        panel.vstrip(x0=start, x1=stop, fill_color=RUN, fill_alpha=0.15, line_color=None)
    _traces(top, of, list(rois), frames)
    for fold in folds:
        _probability(middle, fold, of)
    unsure = ", ".join(LABELS[fold.model] for fold in folds if convergence.not_converged([fold]))
    _above(middle, convergence.marked(unsure), "left")
    if top_class:
        middle.yaxis.ticker = FixedTicker(ticks=list(range(len(one.classes))))
        middle.yaxis.major_label_overrides = dict(enumerate(one.classes))
    if folds:
        middle.add_layout(middle.legend[0], "above")
        middle.legend.update(orientation="horizontal", click_policy="hide", border_line_color=None, padding=2)
    whole.add_tools(RangeTool(x_range=shown))
    whole.yaxis.visible = False
    whole.xaxis.axis_label = "time (s)" + (f", every {step}th frame drawn" if step > 1 else "")
    decoders = ", ".join(LABELS[fold.model] for fold in folds) or "nothing"
    says = (f"An interactive {'simulated ' * of.simulated}recording, {of.id}: traces of {len(rois)} ROIs and the "
            f"{'class' if top_class else 'probability'} of {what} decoded by {decoders}, over {end_s:.0f} s. Stretches "
            f"of {'running' if top_class or what == 'run' else what} are shaded.")
    return Browser(column(top, middle, whole, sizing_mode="stretch_width"), says)


def roi_map(dataset, values, label, said=""):
    """One number a ROI, shape (n_roi,), on the cortex, to hover over; ``label``: what they are, with unit. Browser.
    ``said``: a warning, which stands above in red. Where ROIs lie is known for simulated data with the 50 ROIs; others
    are squares in order of number."""
    values = np.asarray(values, dtype=float)
    of_study = len(values) == 50
    anatomy = anatomy_of(dataset) if of_study else None
    if anatomy is None:
        number, where = np.arange(len(values))[:, None], "squares by number: where they lie is not known"
        xs = list(number % 10 + np.array([0, 0.95, 0.95, 0]))
        ys = list(-(number // 10) + np.array([0, 0, 0.95, 0.95]))
    else:  # the outline of each ROI where its weight is above one half
        where, height = "where they lie in animal 1", len(anatomy.brain)
        lines = [max(find_contours(np.pad(parcel, 1), 0.5), key=len) - 1 for parcel in anatomy.parcels]
        xs, ys = [line[:, 1] for line in lines], [height - line[:, 0] for line in lines]
    group = roi_table()["group"].str.replace("_", "&") if of_study else ["–"] * len(values)
    panel = _map_panel(380, 560, f"{label}; {where}", dataset, said)
    source = {"xs": xs, "ys": ys, "roi": np.arange(1, len(values) + 1), "group": group, "value": values}
    _coloured(panel, panel.patches("xs", "ys", source=source, line_color="white", line_width=1), values,
              [("ROI", "@roi"), ("group", "@group"), (label, "@value{0.000}")])
    largest = ", ".join(f"ROI {i + 1} with {values[i]:.2f}" for i in np.argsort(-np.abs(values))[:3])
    simulated = ", simulated" * is_simulated(dataset)
    return Browser(panel, f"{said} Map of {label} by ROI{simulated}; {where}. Largest: {largest}.".strip())


def cell_map(cells, spread, backdrop, label, said=""):
    """A map of square ``cells`` (shape (8, 8), or None: no map) and their sample SD (``spread``, or None) over the mean
    image of an animal, to hover over; Browser. ``backdrop``: ``mean`` image, ``brain`` and whether they are
    ``simulated``. ``label``: what the numbers are, with unit. ``said``: a warning, which stands above in red."""
    height, width = backdrop.mean.shape
    panel = _map_panel(420, 520, label if cells is not None else f"{label}: no map", backdrop, said)
    panel.image([backdrop.mean[::-1]], x=0, y=0, dw=width, dh=height, palette="Greys256")
    for line in find_contours(np.pad(backdrop.brain, 1).astype(float), 0.5):
        panel.line(line[:, 1] - 0.5, height - line[:, 0] + 0.5, color="black", line_width=1.5)
    if cells is None:
        return Browser(panel, f"No map of {label}: no fold has one.")
    row, column = (1 + places.ravel() for places in np.indices(cells.shape))
    side = np.array([width, height]) / cells.shape[::-1]
    sd = ["–"] * cells.size if spread is None else [f"{value:.3f}" for value in spread.ravel()]
    source = {"x": (column - 0.5) * side[0], "y": height - (row - 0.5) * side[1], "row": row, "column": column,
              "value": cells.ravel(), "sd": sd}
    rects = panel.rect("x", "y", *side, source=source, fill_alpha=0.6, line_color=None, hover_line_color="black")
    _coloured(panel, rects, cells, [("row, column", "@row, @column"), (label, "@value{0.000}"),
                                    ("SD over folds", "@sd")])
    largest = ", ".join(f"row {row[i]}, column {column[i]}: {cells.ravel()[i]:.3f}"
                        for i in np.argsort(-cells.ravel())[:3])
    return Browser(panel, f"{said} Map of {label} over {cells.shape[0]} by {cells.shape[1]} cells"
                          f"{', simulated' * is_simulated(backdrop)}. Largest: {largest}.".strip())


def _map_panel(height, max_width, title, of, said):
    """A panel without axes in which rows and columns are of one scale."""
    panel = figure(height=height, max_width=max_width, tools="pan,wheel_zoom,reset", sizing_mode="stretch_width",
                   match_aspect=True, title=title)
    _quiet(panel)
    _above(panel, "simulated" * is_simulated(of), "right")
    _above(panel, textwrap.fill(said, 60), "left")
    panel.axis.visible = False
    return panel


def _coloured(panel, drawn, values, tooltips):
    """Colour by ``value`` with a bar: light is most where all are of one sign; else blue to red about zero."""
    top = float(np.nanmax(np.abs(values))) or 1.0
    one_sign = np.nanmin(values) >= 0
    colours = LinearColorMapper(palette=Magma256 if one_sign else diverging_palette(Blues256, Reds256, 255),
                                low=0 if one_sign else -top, high=top)
    for glyph in (drawn.glyph, drawn.hover_glyph):
        if glyph is not None:
            glyph.fill_color = {"field": "value", "transform": colours}
    panel.add_tools(HoverTool(renderers=[drawn], tooltips=tooltips))
    panel.add_layout(drawn.construct_color_bar(width=10, title=None), "right")


def _panel(height, x_range, label, tools="", **options):
    panel = figure(height=height, x_range=x_range, tools=tools, sizing_mode="stretch_width",
                   toolbar_location="right" if tools else None, **options)
    _quiet(panel)
    panel.yaxis.update(axis_label=label, minor_tick_line_color=None)
    panel.min_border_left = 60  # the panels' time axes stand under one another
    return panel


def _above(panel, text, align):
    if text:
        panel.add_layout(Title(text=text, text_color=WARNING, align=align, text_font_size="9pt"), "above")


def _quiet(panel):
    panel.grid.visible = False
    panel.toolbar.logo = None
    panel.toolbar.active_drag = None  # a finger on the figure scrolls the page until a tool is chosen


def _traces(panel, of, rois, frames):
    signal = of.signal[frames][:, rois]
    step = 1.2 * np.percentile(np.ptp(signal, axis=0), 90) or 1.0
    heights = [float(step * place) for place in range(len(rois))][::-1]
    lines = []
    for roi, height, values in zip(rois, heights, signal.T, strict=True):
        source = {"time_s": (frames / of.rate_hz).astype(np.float32), "value": values.astype(np.float32),
                  "drawn": (values - values.mean() + height).astype(np.float32)}
        lines.append(panel.line("time_s", "drawn", source=source, color=SIGNAL, line_width=0.8,
                                name=of.roi_names[roi]))
    panel.yaxis.ticker = FixedTicker(ticks=heights)
    panel.yaxis.major_label_overrides = {h: of.roi_names[roi] for h, roi in zip(heights, rois, strict=True)}
    panel.add_tools(HoverTool(renderers=lines, tooltips=[("ROI", "$name"), ("time", "@time_s{0.00} s"),
                                                         (of.signal_unit, "@value{0.00}")]))


def _probability(panel, fold, of):
    frames, _, decoded = fold.trace(of.id)
    decoded = decoded.argmax(axis=1) if fold.classes else decoded
    step = -(-len(frames) // MOST_FRAMES)
    name = LABELS[fold.model]
    source = {"time_s": (frames[::step] / of.rate_hz).astype(np.float32), "decoded": decoded[::step].astype(np.float32)}
    line = panel.line("time_s", "decoded", source=source, color=COLOURS[fold.model], line_width=1.5, name=name,
                      legend_label=name)
    panel.add_tools(HoverTool(renderers=[line], description=name, visible=False, tooltips=[
        ("decoder", name), ("time", "@time_s{0.00} s"), (fold.target, "@decoded{0.00}")]))
