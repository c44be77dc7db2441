"""Independent sites: the mean-field baseline."""

from __future__ import annotations

from torch import Tensor

from vanbench.neural.autoregressive import Autoregressive


class Bernoulli(Autoregressive):
    """``p(x) = prod_i p_i(x_i)``; its only parameters are the site biases of the base class."""

    def logits(self, x: Tensor) -> Tensor:
        return self.site_bias.new_zeros(*x.shape, self.local_dim)

    def zero_output(self) -> None:
        """There is no layer to set to zero."""
