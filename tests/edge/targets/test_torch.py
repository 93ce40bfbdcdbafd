"""A student folder, run again by PyTorch."""

from pathlib import Path

import numpy as np
import torch

from pskd.edge.material import Deployed, Material
from pskd.edge.targets import TARGETS


def test_a_window_gets_the_students_logits_and_their_softmax(material: Material, tmp_path: Path):
    target = TARGETS["torch"]
    target.export(material, tmp_path)
    run = target.load(tmp_path / target.file)
    for window in material.test[:5]:
        answer = run(window[None])
        with torch.inference_mode():
            logits = material.student(torch.from_numpy(window[None])).logits[0].numpy()
        np.testing.assert_array_equal(answer.logits, logits)
        e = np.exp(logits.astype(np.float64) - logits.max())
        np.testing.assert_allclose(answer.probabilities, e / e.sum(), rtol=1e-5)


def test_what_leaves_has_two_named_outputs(material: Material):
    scores = Deployed(material.student)(torch.from_numpy(material.test[:1]))
    assert scores._fields == ("logits", "probabilities")


def test_the_embedding_that_leaves_is_merged_into_the_classifier(material: Material):
    deployed, windows = Deployed(material.student), torch.from_numpy(material.test)
    with torch.inference_mode():
        scores, whole = deployed(windows), material.student.double()(windows.double())
    material.student.float()
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert deployed.student.head.classifier.weight.shape == (5, 32)
    assert material.student.head.classifier.weight.shape == (5, 16)


def test_layers_stay_apart_where_that_is_smaller(made):
    student = made(widths=(4,), strides=(4,), stem=4, samples=32).student
    student.head.embedding = torch.nn.Linear(8, 2)
    student.head.classifier = torch.nn.Linear(2, 5)
    assert Deployed(student).student.head.classifier.weight.shape == (5, 2)
