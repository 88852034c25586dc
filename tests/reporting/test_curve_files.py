"""CSV files of curves: what is written is read, several together, and drawn; other files are refused in one line."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from textae.files import write_csv
from textae.reporting.curve_files import plot, read, rows_of, table
from textae.reporting.figures import curves_compared

pytestmark = pytest.mark.backend_free

METRICS = {"loss": 0.1, "token_accuracy": 0.9, "exact_match": 0.5, "bleu": 80.0, "cer": 0.05}
NOISE = [{"noise_level": a, "latent_noise": a, "rate": rate} | METRICS for a, rate in [(0.0, None), (0.5, 16.0)]]
BITS = [{"bits": bits, "rate": float(bits)} | METRICS for bits in (32, 4)]
BASELINES = {"xz": 8.75, "trigram": 7.25}


@pytest.fixture
def files(tmp_path):
    write_csv(tmp_path / "a.csv", rows_of("first, run", "noise", NOISE, BASELINES))
    write_csv(tmp_path / "b.csv", rows_of("other $x$", "bits", BITS, BASELINES))
    return tmp_path


def test_several_are_read_together(files):
    rows = read([str(files / "*.csv")])
    assert rows == read([str(files / "a.csv"), str(files / "b.csv"), str(files / "a.csv")])
    assert [(row["name"], row["curve"], row["rate"]) for row in rows] == [
        ("first, run", "noise", None),
        ("first, run", "noise", 16.0),
        ("xz", "lossless", 8.75),
        ("trigram", "lossless", 7.25),
        ("other $x$", "bits", 32.0),
        ("other $x$", "bits", 4.0),
    ]
    assert rows[4]["bits"] == 32 and rows[1]["token_accuracy"] == 0.9
    lines = table(rows).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[1:4:2] == ["name", "curve"] and "first, run" in lines[2] and "8.75" in lines[4]


def test_the_report_of_curves(files, command):
    assert command("report", f"curves=[{files / 'a.csv'},{files / 'b.csv'}]", f"csv={files / 'c.csv'}") == table(
        read([str(files / "a.csv"), str(files / "b.csv")])
    ).split("\n")
    assert read([str(files / "c.csv")]) == read([str(files / "[ab].csv")])
    with pytest.raises(ValueError, match=r"expected runs=FOLDER or curves=\[FILE,\.\.\.\], received None"):
        command("report")


def test_they_are_drawn(files):
    plot(read([str(files / "*.csv")]), files / "curves.png")
    pixels = imread(io.BytesIO((files / "curves.png").read_bytes()))
    assert pixels.std() > 0.05
    with pytest.raises(ValueError, match="png, svg or pdf"):
        plot(read([str(files / "a.csv")]), files / "curves.txt")


def test_points_are_drawn_by_their_rates():
    points = {"rate": [np.nan, 16, 4], "token_accuracy": [1, 0.9, 0.8], "exact_match": [1, 0.5, 0], "bleu": [100, 9, 8]}
    figure = curves_compared({"run": points}, {"xz 8.8": 8.8})
    (curve, line), *_ = ([*axes.lines] for axes in figure.axes)
    np.testing.assert_array_equal(curve.get_xydata(), [[4, 0.8], [16, 0.9]])
    assert line.get_xdata()[0] == 8.8
    with pytest.raises(ValueError, match="at least one curve"):
        curves_compared({}, {"xz 8.8": 8.8})


@pytest.mark.parametrize(
    "content",
    [
        b"name,rate\na,1\n",
        b"name,curve,rate,token_accuracy,exact_match,bleu\nrun,bits,x,1,1,1\n",
        b"name,curve,rate,token_accuracy,exact_match,bleu\nrun,bits,nan,1,1,1\n",
        b"name,curve,rate,token_accuracy,exact_match,bleu\nrun,bits,1\n",
        b'name,curve,rate,token_accuracy,exact_match,bleu\n"run\n',
        b"\xff\xfe\n\x00",
        b"text\n" * 3,
    ],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.csv is not a curve of textae\.evaluate") as caught:
        read([str(tmp_path / "a.csv")])
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"expected a CSV file of textae\.evaluate curve=\.\.\., found none at"):
        read([str(tmp_path / "none.csv")])
