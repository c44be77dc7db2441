"""A plain torch module as a network: its order is found by changing one site after another (`wrapping.wrap`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.outside import probe
from vanbench.neural.outside.forms import Form
from vanbench.neural.outside.from_jax import FromJax, is_jax

NORMALISERS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
FLOATS = {"float64": torch.float64, "float32": torch.float32}


class Wrapped(Autoregressive):
    """The base of what `wrap` makes: ``net``, the module, between an encoder and a decoder."""

    make: ClassVar[Callable[..., nn.Module]]
    form: ClassVar[Form]
    asked_order: ClassVar[Any] = "auto"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, **hyperparameters: Any):
        super().__init__(shape, local_dim)
        net = self.make(self.shape, local_dim, **hyperparameters)
        if is_jax(net):
            net = self._from_jax(net)
        if not isinstance(net, nn.Module):
            raise InputError(f"{type(self).__name__}: the factory gives {type(net).__name__}, not a torch module.")
        self.net = net
        _fix(self.net)
        self.train()
        self.learn_form()

    def _from_jax(self, made: Any) -> nn.Module:
        x, dtype = torch.randint(0, self.local_dim, (8, self.n_sites), generator=_seeded()), FLOATS[self.dtypes[0]]
        try:
            return FromJax(made, self.form.encoded(x, self.shape, self.local_dim, dtype), dtype)
        except InputError as error:
            raise InputError(f"{type(self).__name__}: {error}") from error
        except Exception as error:  # whatever JAX raises
            hint = DTYPES_HINT if _about_types(error) and len(self.dtypes) > 1 else ""
            raise InputError(f"{type(self).__name__}: {type(error).__name__}: {first_line(error)}.{hint}") from error

    def learn_form(self) -> None:
        """What the module does not say: masks, the order, where the values stand."""
        self._last = True  # values on the last axis of the output
        self._masked: list[str] = []
        self._find_masks()
        self._find_order()

    def train(self, mode: bool = True) -> Wrapped:
        """As of every module, but the wrapped one is always evaluated, without dropout."""
        super().train(mode)
        if hasattr(self, "net"):
            self.net.eval()
            for module in self.net.modules():
                if isinstance(module, nn.RNNBase):  # whose backward on CUDA wants the training mode
                    module.train()
        return self

    def logits(self, x: Tensor) -> Tensor:
        values = self._raw(x, self._last)
        if not self.form.shift:
            return values
        out = torch.zeros_like(values)  # the bias of the first site is its logits
        out[:, self.order[1:]] = values[:, self.order[:-1]]
        return out

    def _raw(self, x: Tensor, last: bool) -> Tensor:
        given = self.form.encoded(x, self.shape, self.local_dim, self.site_bias.dtype)
        if self._masked:
            own = dict(self.net.named_parameters())
            masked = {name: own[name] * self.get_buffer(f"_mask_{k}") for k, name in enumerate(self._masked)}
            out = torch.func.functional_call(self.net, masked, (given,))
        else:
            out = self.net(given)
        return self.form.decoded(out, len(x), self.n_sites, self.local_dim, last).to(self.site_bias.dtype)

    def _find_masks(self) -> None:
        """Masks that a forward pass multiplies into ``weight.data``, which gradients do not see: here they do."""
        with torch.no_grad(), probe.perturbed(self.net):
            before = {name: parameter.clone() for name, parameter in self.net.named_parameters()}
            try:
                self._raw(torch.zeros(1, self.n_sites, dtype=torch.int8), self._last)
            except Exception:  # `_find_order` says why
                return
            for name, parameter in self.net.named_parameters():
                same = parameter == before[name]
                if not same.all() and not parameter[~same].any():
                    self.register_buffer(f"_mask_{len(self._masked)}", same.to(parameter.dtype), persistent=False)
                    self._masked.append(name)

    def _find_order(self) -> None:
        dtype = FLOATS[self.dtypes[0]]
        held = {key: value.clone() for key, value in self.state_dict().items()}
        before = self.site_bias.dtype
        self.to(dtype)
        try:
            readings = self._readings()
        finally:
            self.to(before)
            self.load_state_dict(held)  # what was rounded, or counted on the way
        for last, sees in readings:
            order = self._allowed(sees)
            if order is not None:
                self.order, self._last = order, last
                return
        right = [sees for _, sees in readings if probe.order_of(sees) is not None]  # in another order than asked
        sees = [*right, readings[0][1]][0]
        raise InputError(_leak(type(self).__name__, sees, self.form, self._wanted(), self.net))

    def _readings(self) -> list[tuple[bool, Tensor]]:
        """For each axis that the values may stand on: which sites see which."""
        choices = (True,) if self.form.output.endswith("_up") else (True, False)
        out = []
        for last in choices:
            sees = torch.zeros(self.n_sites, self.n_sites, dtype=torch.bool)
            for seed in range(probe.DRAWS):
                with probe.perturbed(self, seed):
                    sees |= self._tried(partial(self._raw, last=last), seed)
            out.append((last, sees))
        return out

    def _tried(self, logits: probe.Logits, seed: int) -> Tensor:
        form, device = self.form, self.site_bias.device
        try:
            return probe.seen(logits, self.n_sites, self.local_dim, device, seed)
        except Exception as error:  # whatever somebody's module does with what it does not take
            x = torch.zeros(1, self.n_sites, device=device)
            given = form.encoded(x, self.shape, self.local_dim, self.site_bias.dtype)
            what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {first_line(error)}."
            raise InputError(
                f"{type(self).__name__} does not work on {given.dtype} of shape (batch, "
                f"{', '.join(map(str, given.shape[1:]))}), as input={form.input!r}, layout="
                f"{'image' if form.images else 'sites'!r}, channels={form.channels!r} say: {what}"
                + (DTYPES_HINT if _about_types(error) and len(self.dtypes) > 1 and form.input != "tokens" else "")
            ) from error

    def _wanted(self) -> list[int] | None:
        """The order that is asked for; None where it is to be found."""
        asked = type(self).asked_order
        if isinstance(asked, str):
            return None
        order = [int(site) for site in (asked(self.shape) if callable(asked) else asked)]
        if sorted(order) != list(range(self.n_sites)):
            raise InputError(f"{type(self).__name__}: order must name each of the {self.n_sites} sites once.")
        return order

    def _allowed(self, sees: Tensor) -> list[int] | None:
        """The order asked for, where the network keeps to it, or the one it follows; None where there is none."""
        wanted = self._wanted()
        sees = sees & ~torch.eye(self.n_sites, dtype=torch.bool) if self.form.shift else sees
        if wanted is None:
            return probe.order_of(sees)
        return None if sees[wanted][:, wanted].triu().any() else wanted


DTYPES_HINT = " If it makes tensors of float32 whatever it is given, declare dtypes = ('float32',)."


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _about_types(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("dtype", "scalar type", "float", "double", "equal types"))


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].rstrip(".")


def _fix(net: nn.Module) -> None:
    """No dropout inside recurrent layers; parameters that are not to be trained become buffers."""
    for module in net.modules():
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())


def _leak(name: str, sees: Tensor, form: Form, wanted: list[int] | None, net: nn.Module) -> str:
    """Why there is no order, in one sentence, and what may be meant."""
    if form.shift:
        sees = sees & ~torch.eye(len(sees), dtype=torch.bool)
    if wanted is not None:
        found = probe.order_of(sees)
        rank = {site: k for k, site in enumerate(wanted)}
        i, j = next((i, j) for i, j in sees.nonzero().tolist() if rank[i] <= rank[j])
        advice = "" if found is None else f" It follows the order {found}: order='auto' takes it."
        return f"{name} leaks: site {i} sees site {j}, which does not come before it in the order given.{advice}"
    if any(isinstance(module, NORMALISERS) for module in net.modules()):
        why = "a normalisation over sites or rows mixes them all"
    elif probe.shifted(sees) is not None:
        i = int(sees.diagonal().nonzero()[0])
        return (
            f"{name} leaks: site {i} sees itself, and each site the earlier ones. If its output at a site predicts the "
            "next one, set shift=True; else a mask is inclusive where it must be strict."
        )
    elif sees.all():
        why = "there is no mask"
    else:
        why = "a mask is wrong, or input and output are laid out differently (transposed axes, another channels)"
    return f"{name} leaks: {_cycle(sees)}, so that there is no order of the sites: {why}."


def _cycle(sees: Tensor) -> str:
    if sees.diagonal().any():
        return f"site {int(sees.diagonal().nonzero()[0])} sees itself"
    mutual = (sees & sees.T).nonzero()
    if len(mutual):
        i, j = mutual[0].tolist()
        return f"sites {i} and {j} see each other"
    return "some sites see each other in a cycle"
