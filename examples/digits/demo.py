"""Trains a small CNN, spoils copies of it in the ways people do by accident, and lets bnlint look at each.

Run it with `make demo`, or `python -m examples.digits.demo` from the folder above `examples/`.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from examples.digits.model import DigitsNet

FOLDER = Path("build/demo")


@dataclass(frozen=True)
class Data:
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_data() -> Data:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    train, test = train_test_split(torch.arange(len(labels)), test_size=0.25, random_state=0, stratify=labels)
    return Data(images[train], labels[train], images[test], labels[test])


def train(data: Data, epochs: int = 8) -> DigitsNet:
    torch.manual_seed(0)
    model = DigitsNet()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.train_labels)).split(64):
            loss = nn.functional.cross_entropy(model(data.train_images[batch]), data.train_labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, data: Data, batch_size: int) -> float:
    """Share of the test images that a copy of the model gets right, one digit class after the other."""
    model = copy.deepcopy(model)
    order = data.test_labels.argsort()
    right = 0
    for batch in order.split(batch_size):
        right += int((model(data.test_images[batch]).argmax(1) == data.test_labels[batch]).sum())
    return right / len(order)


def forgotten_eval(healthy: DigitsNet) -> DigitsNet:
    """Saved right after the training loop: nobody called `eval()`."""
    return copy.deepcopy(healthy).train()


def one_layer_left_training(healthy: DigitsNet) -> DigitsNet:
    """A fine-tuning script switched one block back on and never off again."""
    model = copy.deepcopy(healthy)
    model.body.train()
    return model


def lost_statistics(healthy: DigitsNet) -> DigitsNet:
    """The parameters were copied into a fresh model; running statistics are buffers and stayed behind."""
    model = DigitsNet().eval()
    model.load_state_dict(dict(healthy.named_parameters()), strict=False)
    return model


def not_a_number(healthy: DigitsNet) -> DigitsNet:
    """One training batch held a NaN: a running variance never forgets it."""
    model = copy.deepcopy(healthy)
    model.stem[1].running_var[3] = torch.nan
    return model


def show(title: str, model: nn.Module, data: Data, *command: str) -> None:
    """Prints how well the model does, then what `bnlint check` says about its file."""
    print(f"\n{'─' * 80}\n{title}")
    for batch_size in (100, 1):
        print(f"  accuracy with batches of {batch_size:>3}: {accuracy(model, data, batch_size):6.1%}")
    print(f"\n$ bnlint check {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", "bnlint", "check", *command], check=False)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # such small convolutions only wait for one another
    data = load_data()
    print("Training a small CNN on scikit-learn's digits …", flush=True)
    healthy = train(data)

    torch.save(healthy, FOLDER / "healthy.pt")
    show("1. As it should be.", healthy, data, f"{FOLDER}/healthy.pt", "--trust", "--input", "1x1x8x8")

    model = forgotten_eval(healthy)
    torch.save(model, FOLDER / "forgotten-eval.pt")
    show(f"2. {forgotten_eval.__doc__}", model, data, f"{FOLDER}/forgotten-eval.pt", "--trust", "--input", "1x1x8x8")

    model = one_layer_left_training(healthy)
    torch.save(model, FOLDER / "one-layer.pt")
    show(
        f"3. {one_layer_left_training.__doc__}", model, data, f"{FOLDER}/one-layer.pt", "--trust", "--input", "1x1x8x8"
    )

    model = lost_statistics(healthy)
    torch.save(model.state_dict(), FOLDER / "lost-statistics.pth")
    show(f"4. {lost_statistics.__doc__}", model, data, f"{FOLDER}/lost-statistics.pth")

    model = not_a_number(healthy)
    save_file(model.state_dict(), FOLDER / "not-a-number.safetensors")
    show(f"5. {not_a_number.__doc__}", model, data, f"{FOLDER}/not-a-number.safetensors")

    print(f"\n{'─' * 80}\nThe models are in {FOLDER}/. Try `bnlint inspect` on one, or `bnlint explain BN501`.")


if __name__ == "__main__":
    main()
