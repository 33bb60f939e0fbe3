"""Tables and arrays as other programs read them."""

import numpy as np
import pandas as pd

import otcxr_mm
from otcxr_mm.apis.tables import prediction_columns, studies_file, write_embeddings, write_studies, write_table
from tests.apis.weights import CLASSES, write_classifier


def test_a_table_has_the_probabilities_and_the_decisions_of_findings_with_a_threshold(tmp_path):
    write_classifier(tmp_path)
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    inferencer.thresholds = dict(zip(CLASSES, (0.5, None, 0.1), strict=True))
    values = np.array([[0.5, 0.2, 0.1234567], [0.4999, 0.9, 0.0]], np.float32)
    write_table(tmp_path / "t.csv", ['a "b", c.png', "ü.png"], prediction_columns(inferencer, values))
    table = pd.read_csv(tmp_path / "t.csv")
    assert table.columns.tolist() == ["path", *CLASSES, f"{CLASSES[0]}_positive", f"{CLASSES[2]}_positive"]
    assert table["path"].tolist() == ['a "b", c.png', "ü.png"]
    np.testing.assert_allclose(table[list(CLASSES)], values, atol=5e-7)
    assert table.iloc[:, 4:].to_numpy().tolist() == [["yes", "yes"], ["no", "no"]]


def test_features_are_the_same_in_arrays_and_in_a_table(tmp_path):
    values = np.random.rand(3, 5).astype(np.float32)
    for name in ("z.npz", "z.csv"):
        write_embeddings(tmp_path / name, ["a", "b", "c"], values)
    arrays, table = np.load(tmp_path / "z.npz"), pd.read_csv(tmp_path / "z.csv", index_col="path")
    assert arrays["path"].tolist() == table.index.tolist() == ["a", "b", "c"]
    assert np.array_equal(arrays["embedding"], values)
    np.testing.assert_allclose(table.to_numpy(), values, atol=1e-6)


def test_a_folder_is_a_study(tmp_path):
    paths = ["p1/s1/a.jpg", "p1/s2/b.jpg", "p1/s1/c.jpg", "d.jpg"]
    scores = np.array([[0.1, 0.8], [0.5, 0.25], [0.3, 0.6], [1, 0]], np.float32)
    for how, first in (("mean", (0.2, 0.7)), ("max", (0.3, 0.8))):
        file = studies_file(tmp_path / "found.csv", how)
        write_studies(file, paths, scores, ("Mass", "Edema"), how)
        assert file.name == f"found.studies_{how}.csv"
        table = pd.read_csv(file)
        assert table.columns.tolist() == ["study", "images", "Mass", "Edema"]
        assert table["study"].tolist() == [".", "p1/s1", "p1/s2"] and table["images"].tolist() == [1, 2, 1]
        np.testing.assert_allclose(table[["Mass", "Edema"]], [[1, 0], first, [0.5, 0.25]], atol=1e-6)
