import io

import pytest
import torch
from torch import nn

from worker.training.averaging import WeightAverage
from worker.training.candidate import Candidate
from worker.training.pretrained import PretrainedWeights
from worker.training.probe import Strength


def make_candidate(share: float) -> tuple[list[nn.Parameter], WeightAverage, Candidate]:
    """Pretrained weights of 1, averaged ones of 3, and 10 as training has them now; a head that is 7 when fitted."""
    encoder, head = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    average = WeightAverage([encoder, head], decay=0.9)

    def fit_head(_: Strength) -> None:
        with torch.no_grad():
            head.fill_(7)

    pretrained = PretrainedWeights([encoder, head], io.BytesIO()) if share < 1 else None
    candidate = Candidate(average, share, pretrained, fit_head)
    average.tensors = [torch.full((3,), 3.0), torch.full((2,), 3.0)]
    with torch.no_grad():
        encoder.fill_(10)
        head.fill_(10)
    return [encoder, head], average, candidate


def test_it_lies_between_pretrained_and_averaged_weights_under_a_new_head() -> None:
    (encoder, head), _, candidate = make_candidate(0.25)
    candidate.put()
    assert encoder.tolist() == [1.5] * 3
    assert head.tolist() == [7.0] * 2


def test_at_1_it_is_the_average_with_the_head_that_was_trained() -> None:
    (encoder, head), _, candidate = make_candidate(1.0)
    candidate.put()
    assert (encoder.tolist(), head.tolist()) == ([3.0] * 3, [3.0] * 2)


def test_it_steps_in_for_a_while_and_the_weights_come_back_exactly_even_after_an_error() -> None:
    (encoder, head), _, candidate = make_candidate(0.25)
    with torch.no_grad():
        encoder.fill_(1 / 3)
    before = encoder.detach().clone()
    with candidate.in_place():
        assert encoder.tolist() == [1.5] * 3
    assert torch.equal(encoder, before)
    assert head.tolist() == [10.0] * 2
    with pytest.raises(KeyError), candidate.in_place():
        raise KeyError
    assert torch.equal(encoder, before)


def test_the_head_is_fitted_before_the_first_step_and_the_average_starts_there() -> None:
    (_, head), average, candidate = make_candidate(0.25)
    candidate.start_head()
    assert head.tolist() == [7.0] * 2
    assert average.tensors[1].tolist() == [7.0] * 2
