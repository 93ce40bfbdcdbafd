"""The C itself: strict warnings, sanitizers, and the same answers as the references give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pskd.edge.c99 import emit, quantise, reference
from pskd.edge.c99.float32 import Float32
from pskd.edge.c99.graph import Conv, Graph, Load, Pool, Value
from pskd.edge.c99.int8 import Int8
from pskd.edge.c99.quantise import Quantised
from pskd.edge.c99.trace import trace
from pskd.edge.c99.writer import Writer
from pskd.models.base import Model, Output, Signal
from pskd.models.student_folder import StudentConfig
from tests.edge.c99.build import SANITIZED, answers, build, edge_windows

STUDENTS = ["temporal", "odd", "summation", "both"]


def write(folder: Path, writer: Writer, config: StudentConfig) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "student.h").write_text(emit.header(writer, config))
    (folder / "student.c").write_text(emit.source(writer, config))
    return folder


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", STUDENTS)
def test_float_answers_are_those_of_the_student(tmp_path, students, name, compiler):
    material, graph = students(name)
    folder = write(tmp_path, Float32(graph), material.config)
    program = build(folder, tmp_path / "program", "-O0", *SANITIZED, compiler=compiler)
    logits, probabilities = answers(program, material.test, 5)
    with torch.inference_mode():
        expected = material.student(torch.from_numpy(material.test)).logits
    assert np.abs(logits - expected.numpy()).max() < 1e-4
    exact = torch.from_numpy(logits).double().softmax(1).numpy()
    assert np.abs(probabilities / exact - 1).max() < 1e-6


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", STUDENTS)
def test_int8_answers_are_those_of_the_reference_bit_for_bit(tmp_path, students, name, compiler):
    material, graph = students(name)
    student = Quantised(graph, material.calibration)
    folder = write(tmp_path, Int8(student), material.config)
    program = build(folder, tmp_path / "program", "-O1", *SANITIZED, compiler=compiler)
    windows = np.concatenate([material.test, edge_windows(graph.samples)])
    logits, _ = answers(program, windows, 5)
    expected = quantise.run(student, windows)[graph.logits.buffer].reshape(logits.shape)
    assert np.array_equal(logits, expected)


@pytest.mark.parametrize("name", ["temporal", "summation"])
def test_windows_that_no_sensor_gives_have_finite_answers(tmp_path, students, name):
    material, graph = students(name)
    program = build(
        write(tmp_path, Float32(graph), material.config), tmp_path / "program", "-O0", *SANITIZED
    )
    windows = edge_windows(graph.samples)
    logits, probabilities = answers(program, windows, 5)
    assert np.isfinite(logits).all()
    assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
    nan, zero = 5, 0
    assert np.array_equal(logits[nan], logits[zero])
    expected = reference.run(graph, windows)[graph.logits.buffer].reshape(logits.shape)
    assert np.allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Float32, Int8])
def test_a_processor_of_32_bits_says_the_same(tmp_path, students, kind):
    material, graph = students("temporal")
    student = Quantised(graph, material.calibration)
    folder = write(tmp_path, Int8(student) if kind is Int8 else Float32(graph), material.config)
    wide = build(folder, tmp_path / "wide", "-O0")
    try:
        narrow = build(folder, tmp_path / "narrow", "-O0", "-m32", "-msse2", "-mfpmath=sse")
    except AssertionError:
        pytest.skip("no 32-bit C library")
    found, expected = (answers(p, material.test, 5)[0] for p in (narrow, wide))
    assert np.array_equal(found, expected)


def test_the_same_student_is_the_same_text(students):
    material, graph = students("both")
    writers = [Int8(Quantised(graph, material.calibration)) for _ in range(2)]
    first, second = (emit.source(writer, material.config) for writer in writers)
    assert first == second


def test_names_cannot_leave_their_string_or_comment(tmp_path, students):
    material, graph = students("temporal")
    names = ['a"b', "c\\n", "*/ int x;", "d??/", "übung\n"]
    config = material.config.model_copy(
        update={"classes": names, "licence": "*/ #error /*\n#error"}
    )
    folder = write(tmp_path, Float32(graph), config)
    build(folder, tmp_path / "program", "-O0", "-Wtrigraphs")


class Awkward(Model):
    """Layers called like words of C, of the kernels and of tables; one of them is asked twice."""

    inputs = ("acceleration",)
    feature_channels = 4

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(3, 4, (1, 3))
        self.convolve_bias = nn.Conv2d(4, 4, (1, 3))
        self.int = nn.Conv2d(4, 4, (1, 3), padding=(0, 1))
        self.größe = nn.Linear(4, 4)
        self.student_run = nn.Linear(4, signal.classes)

    def forward(self, acceleration: Tensor) -> Output:
        x = torch.relu(self.convolve(torch.unflatten(acceleration, 2, (1, -1))))
        x = torch.relu(self.convolve_bias(x))
        features = torch.relu(self.int(torch.relu(self.int(x))))
        embedding = self.größe(nn.functional.adaptive_avg_pool2d(features, 1).flatten(1))
        return Output(self.student_run(embedding), embedding, features.flatten(2))


@pytest.mark.parametrize("kind", [Float32, Int8])
def test_a_model_of_ones_own_may_call_its_layers_as_it_likes(tmp_path, students, kind):
    material, _ = students("temporal")
    torch.manual_seed(0)
    student = Awkward(Signal(classes=5)).eval()
    graph = trace(student, material.config)
    quantised = Quantised(graph, material.calibration)
    writer = Int8(quantised) if kind is Int8 else Float32(graph)
    program = build(write(tmp_path, writer, material.config), tmp_path / "program", "-O0")
    logits, _ = answers(program, material.test, 5)
    with torch.inference_mode():
        expected = student(torch.from_numpy(material.test)).logits.numpy()
    if kind is Int8:
        expected = quantise.run(quantised, material.test)[graph.logits.buffer].reshape(-1, 5)
    assert np.abs(logits - expected).max() < 1e-4


def test_kernels_that_no_step_calls_are_left_out(students):
    material, graph = students("temporal")
    assert "polar(" not in emit.source(Float32(graph), material.config)


@st.composite
def graphs(draw) -> Graph:
    """Any convolutions and pools behind one another, then a classifier."""
    sizes = st.integers(1, 3)
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    value = Value(0, 1, draw(st.integers(4, 12)), 3)
    samples, steps = value.columns, [Load(value)]
    for _ in range(draw(st.integers(1, 3))):
        kernel, stride = (draw(sizes), draw(sizes)), (draw(sizes), draw(sizes))
        depthwise, pooled = draw(st.booleans()), draw(st.booleans())
        # Padding is smaller than the kernel: a maximum sees at least one number.
        padding = (kernel[0] - 1, (kernel[1] - 1) // 2)
        rows = (value.rows + 2 * padding[0] - kernel[0]) // stride[0] + 1
        columns = max(value.columns + 2 * padding[1] - kernel[1], 0) // stride[1] + 1
        channels = value.channels if depthwise or pooled else draw(st.integers(1, 9))
        out = Value(value.buffer + 1, rows, columns, channels)
        if value.columns + 2 * padding[1] < kernel[1]:
            break
        if pooled:
            steps.append(Pool("max", value, out, kernel, stride, padding))
        else:
            weights = random.normal(0, 1, (channels, 1 if depthwise else value.channels, *kernel))
            weights[0] *= draw(st.sampled_from([0.0, 1e-6, 1.0]))
            steps.append(
                Conv(
                    *(f"conv_{value.buffer}", value, out, weights, random.normal(0, 1, channels)),
                    *(depthwise, stride, padding),
                    shortcut=value if out[1:] == value[1:] else None,
                    relu=draw(st.booleans()),
                )
            )
        value = out
    mean = Value(value.buffer + 1, 1, 1, value.channels)
    whole = (value.rows, value.columns)
    steps.append(Pool("mean", value, mean, whole, whole))
    for name, size in (("embedding", 4), ("classifier", 5)):
        before = steps[-1].output
        out = Value(before.buffer + 1, 1, 1, size)
        weights = random.normal(0, 1, (size, before.channels, 1, 1))
        steps.append(Conv(name, before, out, weights, random.normal(0, 1, size)))
    return Graph(samples, tuple(steps))


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(graph=graphs(), seed=st.integers(0, 999))
def test_any_chain_of_steps_is_run_as_the_references_run_it(tmp_path, material, graph, seed):
    config = material.config.model_copy(update={"samples": graph.samples})
    windows = np.random.default_rng(seed).normal(0, 1, (8, 3, graph.samples)).astype(np.float32)
    student = Quantised(graph, windows)
    exact = reference.run(graph, windows)[graph.logits.buffer].reshape(8, 5)
    rounded = quantise.run(student, windows)[graph.logits.buffer].reshape(8, 5)
    program = build(write(tmp_path / "f", Float32(graph), config), tmp_path / "float", "-O0")
    assert np.allclose(answers(program, windows, 5)[0], exact, rtol=1e-4, atol=1e-4)
    program = build(write(tmp_path / "i", Int8(student), config), tmp_path / "int", "-O0")
    assert np.array_equal(answers(program, windows, 5)[0], rounded)
