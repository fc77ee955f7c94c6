from __future__ import annotations

import torch
from torch import nn

from bnlint.running.modes import observe_modes


class ForgetsMode(nn.Sequential):
    def train(self, mode: bool = True) -> ForgetsMode:
        return super().train()


class KeepsFrozen(nn.Sequential):
    def train(self, mode: bool = True) -> KeepsFrozen:
        super().train(mode)
        self[0].eval()
        return self


class Refuses(nn.Sequential):
    def train(self, mode: bool = True) -> Refuses:
        raise NotImplementedError("no modes here")


def test_without_code_of_its_own_a_model_obeys() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4)).eval()
    modes = observe_modes(model)
    assert modes is not None
    assert modes.training_after_eval == {"": False, "0": False}
    assert modes.training_after_train == {"": True, "0": True}
    assert modes.holders == {}


def test_the_class_that_forgets_the_mode_is_named_not_those_inside_and_around_it() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), ForgetsMode(nn.Sequential(nn.BatchNorm1d(4))))
    modes = observe_modes(model)
    assert modes is not None
    assert not modes.training_after_eval["0"]
    assert modes.training_after_eval["1.0.0"]
    assert modes.holders["1.0.0"] == "ForgetsMode"


def test_a_frozen_part_stays_frozen_after_train() -> None:
    modes = observe_modes(KeepsFrozen(nn.BatchNorm1d(4), nn.BatchNorm1d(4)))
    assert modes is not None
    assert modes.training_after_train == {"": True, "0": False, "1": True}
    assert not any(modes.training_after_eval.values())


def test_the_models_own_flags_stay() -> None:
    model = ForgetsMode(nn.BatchNorm1d(4))
    model[0].training = False
    observe_modes(model)
    assert model.training
    assert not model[0].training


def test_no_weights_are_copied() -> None:
    model = ForgetsMode(nn.Linear(4, 4, device="meta"), nn.BatchNorm1d(4, device="meta"))
    modes = observe_modes(model)
    assert modes is not None
    assert modes.training_after_eval["1"]


def test_a_model_that_refuses_gives_nothing() -> None:
    assert observe_modes(Refuses(nn.BatchNorm1d(4))) is None
    exported = torch.export.export(nn.Sequential(nn.BatchNorm1d(4)).eval(), (torch.ones(2, 4),)).module()
    assert observe_modes(exported) is None
