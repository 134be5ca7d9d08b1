"""The picture of all field studies: values of the docs, arm by arm."""

import matplotlib.pyplot as plt
import pytest

from benchmarks.fields.ladders import ladders, main, read_errors

HEAD = "arm,seed,metric,value,unit,kind,direction,method,phase\n"


@pytest.fixture
def docs(tmp_path):
    rows = {
        "poisson": "soft,0,relative_l2,0.1,,,,,\nsoft,1,relative_l2,0.3,,,,,\nhard,0,relative_l2,0.01,,,,,\n"
        "hard,0,largest,9.0,,,,,\nsoft,0,time,7.0,,cost,,,train_step\n",
        "heat_inverse": "equation,0,parameter_error,0.02,,,,,\nequation,0,relative_l2,0.5,,,,,\n",
        "cars": "none,0,mse,1.0,,,,,\n",  # no field
    }
    for name, text in rows.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.csv").write_text(HEAD + text)
    return tmp_path


def test_errors_are_read_by_arm(docs):
    assert read_errors(docs / "poisson" / "results.csv", "relative_l2") == {"soft": [0.1, 0.3], "hard": [0.01]}
    assert read_errors(docs / "poisson" / "results.csv", "time") == {}, "costs are no errors"


def test_a_panel_for_each_field(docs, monkeypatch):
    figure = ladders(docs)
    panels = {panel.get_title(): panel for panel in figure.axes if panel.get_visible()}
    assert set(panels) == {"poisson: relative L2 error", "heat_inverse: error of k"}
    panel = panels["poisson: relative L2 error"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["walls Soft", "walls Hard"]
    assert [note.get_text() for note in panel.texts] == ["0.2", "0.01"]
    plt.close(figure)
    monkeypatch.setattr("sys.argv", ["ladders", str(docs), "--out", str(docs / "all.png")])
    main()
    assert (docs / "all.png").stat().st_size > 1000


def test_a_folder_without_field_studies_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ladders", str(tmp_path), "--out", str(tmp_path / "all.png")])
    with pytest.raises(SystemExit):
        main()
    assert "needs some with a results.csv" in capsys.readouterr().err
