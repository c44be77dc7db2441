"""On a GPU, a call of shapes that came before without its launches: a CUDA graph.

Sites are drawn one after another, each by a dozen kernels of microseconds that take Python longer to launch; replayed,
the whole draw is one launch.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Work = Callable[[Mapping[str, Tensor], Tensor], Tensor]
AFTER = 2  # calls of the same shape before one is captured, which takes as long as a few of them
MOST = 8  # captured shapes


class Replayed:
    """Calls of one ``work(parameters, x)``, a function of these alone and without gradients."""

    def __init__(self) -> None:
        self.seen: Counter[torch.Size] = Counter()
        self.graphs: dict[torch.Size, _Graph | None] = {}  # None: cannot be captured
        self.pool: Any = None

    def __call__(self, work: Work, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        if x.device.type != "cuda":
            return work(parameters, x)
        if x.shape not in self.graphs and len(self.graphs) < MOST:
            self.seen[x.shape] += 1
            if self.seen[x.shape] > AFTER:
                self.graphs[x.shape] = self._captured(work, parameters, x)
        graph = self.graphs.get(x.shape)
        return work(parameters, x) if graph is None else graph(parameters, x)

    def _captured(self, work: Work, parameters: Mapping[str, Tensor], x: Tensor) -> _Graph | None:
        self.pool = self.pool or torch.cuda.graph_pool_handle()  # shared: replays follow each other
        before, collects = torch.cuda.current_stream(x.device), gc.isenabled()
        gc.collect()
        gc.disable()  # an older graph that is freed meanwhile would spoil the capture
        try:
            return _Graph(work, parameters, x, self.pool)
        except RuntimeError:  # of a network that looks at its numbers on the way
            torch.cuda.set_stream(before)
            torch.cuda.synchronize()
            default = torch.cuda.default_generators[x.device.index or 0]
            default.graphsafe_set_state(default.clone_state())  # which still takes itself for captured
            return None
        finally:
            if collects:
                gc.enable()


class _Graph:
    def __init__(self, work: Work, parameters: Mapping[str, Tensor], x: Tensor, pool: Any):
        self.parameters = {name: value.detach().clone() for name, value in parameters.items()}
        self.x = x.clone(memory_format=torch.contiguous_format)
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(x.device)
        with (
            torch.cuda.device(x.device),
            torch.cuda.graph(self.graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
        ):
            self.out = work(self.parameters, self.x)

    def __call__(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        for name, value in self.parameters.items():
            value.copy_(parameters[name])
        self.x.copy_(x)
        self.graph.replay()
        return self.out.clone()
