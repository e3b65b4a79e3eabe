"""A loss that trusts labels less where the model contradicts them: for masks that a teacher drew.

Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
Labels", NeurIPS 2018 (arXiv 1805.07836), Eq. 6: ``(1 - p^q) / q`` of the probability p that a label
gets. q near 0 is the cross-entropy, q = 1 the mean absolute error, which wrong labels pull least.
"""

from __future__ import annotations

import torch


def generalised(cross_entropy: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """The generalised cross-entropy from the plain one, ``-log p``, number by number.

    Args:
        cross_entropy: not negative.
        exponents: q in [0, 1], broadcast against it; where it is 0 the plain one stays.
    """
    is_plain = exponents == 0
    q = exponents.masked_fill(is_plain, 1.0)
    return torch.where(is_plain, cross_entropy, -torch.expm1(-q * cross_entropy) / q)
