"""Folded batch norms: the same answers, and a network that is as before."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import conv2d

from edgetl.zoo.folding import folded_norms

EXAMPLE_NCHW = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


def small(*, conv: nn.Conv2d | None = None, bias: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    first = conv or nn.Conv2d(3, 4, 3, padding=1, bias=bias)
    layers = OrderedDict(conv=first, norm=nn.BatchNorm2d(4), act=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1))
    net = nn.Sequential(OrderedDict(**layers, flat=nn.Flatten(), head=nn.Linear(4, 2)))
    for tensor in (net.norm.weight, net.norm.bias, net.norm.running_mean):
        nn.init.uniform_(tensor, 0.5, 2)
    return net.eval()


def test_answers_stay_the_same():
    for bias in (False, True):
        net = small(bias=bias)
        answers = net(EXAMPLE_NCHW)
        with folded_norms(net, EXAMPLE_NCHW) as folded:
            assert folded == 1
            assert torch.allclose(net(EXAMPLE_NCHW), answers, atol=1e-5)


def test_no_norm_is_computed_while_inside():
    net = small()
    heard = []
    original = nn.functional.batch_norm
    with folded_norms(net, EXAMPLE_NCHW):
        nn.functional.batch_norm = lambda *given, **named: heard.append(1) or original(*given, **named)
        try:
            net(EXAMPLE_NCHW)
        finally:
            nn.functional.batch_norm = original
    assert not heard


def test_afterwards_the_network_is_as_before():
    net = small()
    before, keys = net(EXAMPLE_NCHW), list(net.state_dict())
    with folded_norms(net, EXAMPLE_NCHW):
        assert list(net.state_dict()) == keys
        net(EXAMPLE_NCHW)
    assert torch.equal(net(EXAMPLE_NCHW), before)
    assert not {"weight", "bias", "forward"} & (net.conv.__dict__.keys() | net.norm.__dict__.keys())


def test_a_convolution_that_is_read_twice_keeps_its_norm():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
            plain = self.inner.conv(images_NCHW)
            return self.inner.norm(plain).mean((2, 3)) + plain.mean((2, 3))

    with folded_norms(Twice().eval(), EXAMPLE_NCHW) as folded:
        assert folded == 0


def test_a_convolution_that_changes_its_filters_keeps_its_norm():
    class Standardised(nn.Conv2d):
        def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
            filters = self.weight / self.weight.flatten(1).norm(dim=1)[:, None, None, None]
            return conv2d(images_NCHW, filters, padding=1)

    net = small(conv=Standardised(3, 4, 3, padding=1, bias=False))
    answers = net(EXAMPLE_NCHW)
    with folded_norms(net, EXAMPLE_NCHW) as folded:
        assert folded == 0
        assert torch.equal(net(EXAMPLE_NCHW), answers)
