"""Plots as SVG, by gnuplot: boxes of samples, and lines over a size."""

import subprocess

from measure import OUT

COMMON = """set terminal svg size 900,{height} dynamic background rgb 'white' font 'sans,12'
set output '{name}.svg'
set title "{title}"
set grid
"""


def quote(text):
    return '"' + text.replace('"', "'") + '"'


def plot_boxes(name, title, boxes):
    """Quartiles with whiskers, one column a box; logarithmic, because the slow ones are much slower."""
    columns = [f"$d{number} << EOD\n" + "\n".join(f"{value:.4f}" for value in values) + "\nEOD"
               for number, (_, values) in enumerate(boxes)]
    ticks = ", ".join(f"{quote(label)} {number}" for number, (label, _) in enumerate(boxes))
    drawn = ", ".join(f"$d{number} using ({number}):1 with boxplot notitle" for number in range(len(boxes)))
    return "\n".join([*columns, COMMON.format(height=680, name=name, title=title),
                      "set logscale y", "set style boxplot outliers pointtype 7", "set style fill solid 0.3",
                      "set pointsize 0.3", f"set xtics rotate by -30 font ',10' ({ticks})", f"set xrange [-0.7:{len(boxes) - 0.3}]",
                      "set bmargin 16", f"plot {drawn}"])


def plot_lines(name, title, series):
    series = dict(series)
    label, places = series.pop("x")
    rows = "\n".join(" ".join(map(str, row)) for row in zip(places, *series.values()))
    drawn = ", ".join(f"$d using 1:{number + 2} with linespoints pointtype 7 title {quote(title_of_line)}"
                      for number, title_of_line in enumerate(series))
    return "\n".join([f"$d << EOD\n{rows}\nEOD", COMMON.format(height=480, name=name, title=title), "set logscale xy 2",
                      f"set xlabel {quote(label)}", "set key left top", f"plot {drawn}"])


def draw(name, title, data):
    """Writes NAME.svg; returns the line of Markdown that shows it."""
    text = (plot_lines if isinstance(data, dict) else plot_boxes)(name, title, data)
    subprocess.run(["gnuplot"], input=text, text=True, check=True, cwd=OUT)
    return f"![{title}]({name}.svg)"
