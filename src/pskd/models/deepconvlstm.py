"""DeepConvLSTM: convolutions over each axis, then LSTM layers."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from pskd.models.base import Model, Output, Signal, register

FILTERS, KERNEL, UNITS = 64, 5, 128
Readout = Literal["last", "mean"]


@register("deepconvlstm")
class DeepConvLSTM(Model):
    """Four convolutions without padding or pooling, LSTM layers, a readout.

    Filters span 5 samples of one axis and are the same for all axes; at every time step the LSTM
    sees all filters of all axes. Weights start orthogonal.

    Source: Ordonez and Roggen, "Deep convolutional and LSTM recurrent neural networks for
    multimodal wearable activity recognition", Sensors 16(1):115, 2016: four convolutions of 64
    filters, two recurrent layers of 128 units, softmax. Ours are the embedding, a linear layer
    between the readout and the classifier, and windows that are not normalised. The LSTM is
    PyTorch's, which has no peepholes. As in the paper it reads whole clips badly; the
    recipe `deepconvlstm` takes one layer (Bock et al., "Improving deep learning for HAR with
    shallow LSTMs", ISWC 2021), batch normalisation and the mean over time, chosen on training
    subjects (results/tuning-deepconvlstm.md).

    Args:
        signal: The signals of the run.
        dropout: Before each LSTM layer and before the embedding; 0.5 in the paper.
        layers: LSTM layers; 2 in the paper.
        batch_norm: Normalise after each convolution; not in the paper.
        readout: What is classified: the last time step as in the paper, whose windows take half a
            second; or the mean over time, for clips that end at rest.

    Raises:
        ValueError: A window that leaves no time step, no layer, or another readout.
    """

    inputs = ("acceleration",)
    feature_channels = UNITS

    def __init__(
        self,
        signal: Signal,
        dropout: float = 0.5,
        layers: int = 2,
        batch_norm: bool = False,
        readout: Readout = "last",
    ) -> None:
        super().__init__()
        if signal.samples <= 4 * (KERNEL - 1):
            raise ValueError(f"windows of {signal.samples} samples leave no time step")
        if readout not in get_args(Readout):
            raise ValueError(f"readout is {readout!r}, neither last nor mean")
        if layers < 1:
            raise ValueError(f"layers is {layers}, not at least 1")
        self.convolutions = nn.Sequential()
        for channels in (1, FILTERS, FILTERS, FILTERS):
            self.convolutions.extend([nn.Conv2d(channels, FILTERS, (1, KERNEL)), nn.ReLU()])
            if batch_norm:
                self.convolutions.append(nn.BatchNorm2d(FILTERS))
        self.dropout = nn.Dropout(dropout)
        self.readout = readout
        between = dropout if layers > 1 else 0.0  # PyTorch warns of dropout between one layer
        self.lstm = nn.LSTM(
            FILTERS * signal.channels, UNITS, layers, dropout=between, batch_first=True
        )
        self.embedding = nn.Linear(UNITS, signal.embedding)
        self.classifier = nn.Linear(signal.embedding, signal.classes)
        for name, weight in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(weight)
            elif weight.dim() > 1:  # the rows of an LSTM's weights are four gates
                for gate in weight.chunk(4 if "lstm" in name else 1):
                    nn.init.orthogonal_(gate)

    def forward(self, acceleration: Tensor) -> Output:
        maps = self.convolutions(acceleration.unsqueeze(1))  # [B, filters, axes, T']
        steps, _ = self.lstm(self.dropout(maps.flatten(1, 2).transpose(1, 2)))
        read = steps[:, -1] if self.readout == "last" else steps.mean(1)
        embedding = self.embedding(self.dropout(read))
        return Output(self.classifier(embedding), embedding, steps.transpose(1, 2))
