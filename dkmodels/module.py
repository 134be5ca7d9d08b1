"""A Lightning module that carries rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from constraints import (
    AugmentedLagrangian,
    Decoding,
    Embedding,
    Monitor,
    Rule,
    ShapeError,
    SpecificationError,
    Squares,
    UnsupportedError,
    join,
)
from constraints.functional.one_tensor import require_batch, require_tensor
from constraints.functional.precision import own_precision
from constraints.rules.output_rule import distinct_names
from dkmodels.balance import Balance, Term
from dkmodels.checks import (
    bind,
    require_finite_loss,
    require_name,
    require_no_conflict,
    require_whole_gradients,
)
from dkmodels.metrics import RuleMeters
from dkmodels.optim import AsksSquares
from dkmodels.random import RandomStreams

__all__ = ["KnowledgeModule"]

TASK = "task"  # how logs and balances call the loss without rules
OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class KnowledgeModule(LightningModule, ABC):
    """A network, a task and rules about it. A subclass writes `task_loss`; everything else has a default.

    Hard rules become part of the network, Soft and AugmentedLagrangian ones part of the loss, Decode acts in
    validation, test and prediction, and *every* rule is measured in validation and test:
    `val/violation/<rule>/mean`, `val/violation/<rule>/max` and `val/satisfaction/<rule>` (and `test/...`). Only a
    `Transition` that does not say what came before a sample is left out: it is measured on sequences.

    A `balance` weighs the task's loss, `task`, and each penalty against each other: logged as `train/balance/<term>`,
    part of `train/loss`, no part of `train/penalty/<rule>`. It, multipliers, weights of points and where the random
    numbers of rules are stand in the state dict: what is resumed from a checkpoint goes on as if it had not stopped.

    Rules that need derivatives (`FieldRule`) work under the Trainer's default `inference_mode=True`: they evaluate the
    model on copied points outside it.

    Args:
        network: maps `x` to `y`.
        rules: embeddings by the name under which they are logged.
        outputs: names of the columns of `y`, where rules name them.
        inputs: names of the columns of `x`, where rules name them.
        metrics: metrics of `(answer, target)`, logged in validation and test.
        optimizer: from parameters to an optimiser; Adam by default.
        learning_rate: of that default, > 0.
        balance: weights of the terms of the loss; all 1 by default.

    Raises:
        SpecificationError: a rule names an output that does not exist, or is not an embedding; a rule that is called
            "task" beside a balance; two columns of one name; when called, a network that gives several tensors.
        ShapeError: when called, another number of outputs or inputs than names, or outputs that are squeezed.
        InfeasibleError: rules that contradict each other, of those that are imposed (not only measured).

    Example:
        >>> from constraints import Hard, FixedSum
        >>> class Shares(KnowledgeModule):
        ...     def task_loss(self, y, target):
        ...         return nn.functional.mse_loss(y, target)
        >>> module = Shares(nn.Linear(4, 3), rules={"shares": Hard(FixedSum())})
        >>> torch.allclose(module(torch.randn(2, 4)).sum(-1), torch.ones(2))
        True
    """

    def __init__(
        self,
        network: nn.Module,
        rules: Mapping[str, Embedding] | None = None,
        *,
        outputs: Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        metrics: MetricCollection | Mapping[str, Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        learning_rate: float = 1e-3,
        balance: Balance | None = None,
    ) -> None:
        super().__init__()
        outputs, inputs = (
            None if names is None else distinct_names(f"`{type(self).__name__}`", what, names)
            for what, names in (("outputs", outputs), ("inputs", inputs))
        )
        embeddings = dict(rules or {})
        for name, embedding in embeddings.items():
            if not isinstance(embedding, Embedding):
                raise SpecificationError(
                    f"rule `{name}` needs an embedding, such as Soft(rule), got {type(embedding).__name__}"
                )
            require_name(name)
            embedding.key = name
            with embedding.named():
                bind(embedding.rule, outputs, inputs)
        if not learning_rate > 0:
            raise SpecificationError(f"`{type(self).__name__}` needs learning_rate > 0, got {learning_rate}")
        width = None if outputs is None else len(outputs)
        self.network = join(network, embeddings, outputs=width)
        require_no_conflict(embeddings, width)
        self.decoding = Decoding(embeddings, outputs=width)
        self.rules = nn.ModuleDict(embeddings)
        self.outputs, self.inputs = outputs, inputs
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.meters = RuleMeters()
        for name in embeddings:
            self._meter(name)
        self.metrics = metrics if isinstance(metrics, MetricCollection) else MetricCollection(dict(metrics or {}))
        self.balance: Balance | None = None
        if balance is not None:
            self.set_balance(balance)
        self._streams = RandomStreams(torch.initial_seed())
        self._step: int | None = None
        self._batch: Any = None
        self._start: dict[str, dict[str, Tensor]] | None = None
        self._told = False

    def set_balance(self, balance: Balance) -> None:
        """Weigh the terms of the loss by another balance, as `balance` in the constructor does.

        Args:
            balance: new, or bound to the same terms.

        Raises:
            SpecificationError: not a balance, one of other terms, or a rule that is called "task" beside it.
        """
        if not isinstance(balance, Balance):
            raise SpecificationError(f"`{type(self).__name__}` needs a Balance, got {type(balance).__name__}")
        embeddings = self.embeddings()
        if TASK in embeddings:
            raise SpecificationError(f"a rule beside a balance needs another name than {TASK!r}, the task's loss")
        balance.bind([TASK, *(name for name, e in embeddings.items() if e.penalises)])
        self.balance = balance

    # --- what a user writes ------------------------------------------------------------------------------------

    @abstractmethod
    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """The loss without any rule, `()`."""

    def unpack(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Input and target of a batch; by default the batch is `(x, target)`."""
        x, target = batch
        return x, target

    def answer(self, y: Tensor) -> Tensor:
        """What metrics compare with the target; by default `y` itself."""
        return y

    def task_squares(self, x: Tensor, target: Tensor) -> Sequence[Squares]:
        """The task's loss as sums of squares, for optimisers that ask for them; by default it is not known as one.

        Raises:
            UnsupportedError: it is not.
        """
        raise UnsupportedError(
            f"`{type(self).__name__}` needs `task_squares`, its task's loss as sums of squares, for this optimiser"
        )

    # --- what Lightning calls ----------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """The network's answer; hard rules hold.

        **Decode rules do not act here**, nor in what is exported: `decode` applies them, and `DecodedNetwork` of
        `network` and `embeddings()` includes them.
        """
        y: Tensor = self.network(x)
        require_tensor(f"`{type(self).__name__}`", y)
        if self.outputs is not None:
            what = f"the {len(self.outputs)} outputs {list(self.outputs)}"
            require_batch(f"`{type(self).__name__}`", what, x, y)
        self._require_width("output", self.outputs, y)
        self._require_width("input", self.inputs, x)
        return y

    def _require_width(self, what: str, names: tuple[str, ...] | None, tensor: Tensor) -> None:
        """Refuse a tensor without a column for each name.

        Raises:
            ShapeError: it has others.
        """
        if names is not None and isinstance(tensor, Tensor) and tensor.shape[-1:] != (len(names),):
            raise ShapeError(
                f"`{type(self).__name__}` needs the {len(names)} {what}s {list(names)} along the last dimension, got "
                f"shape {tuple(tensor.shape)}"
            )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Task loss and the penalties of the rules; logged are those before a step, however often it asks."""
        self._batch = batch
        self._rewind()
        self._begin_step()
        x, target = self.unpack(batch)
        y = self(x)
        loss = self.task_loss(y, target)
        penalties: dict[str, Tensor] = {}
        for name, embedding in self.embeddings().items():
            if embedding.penalises:
                if self._told:
                    embedding.repeat()
                with self._streams.of(name, "penalty"), embedding.named():
                    penalties[name] = embedding.penalty(self.network, x, y)
        total = self._total(loss, penalties, batch)
        # Looking at a value on an accelerator waits for it, so there it is done only now and then.
        if total.device.type == "cpu" or self._trainer is None or self.trainer.global_step % 50 == 0:
            require_finite_loss(type(self).__name__, total, {"input": x, "target": target, "output": y}, penalties)
        if not self._told:
            shown = {f"train/penalty/{name}": value.detach() for name, value in penalties.items()}
            self.log_dict({"train/loss": total.detach(), **shown}, on_step=False, on_epoch=True, batch_size=len(x))
        self._told = self._start is not None  # trials of a line search are no losses of the training
        return total

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss, metrics and violations."""
        self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Loss, metrics and violations."""
        self._evaluate("test", batch)

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """The decoded answer to a batch: `x`, or `(x, ...)`."""
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        return self.decode(self(x), x)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step, in which rules draw the same random numbers however often the optimiser asks, and learn after it.

        Raises:
            UnsupportedError: gradients gathered over batches, or clipped, for an optimiser that asks several times.
        """
        for one in self._own_optimizers():
            require_whole_gradients(one, self.trainer.accumulate_grad_batches, bool(self.trainer.gradient_clip_val))
        self._start = self._streams.places("penalty")
        try:
            super().optimizer_step(*args, **kwargs)
        finally:
            self._start = self._batch = self._step = None
            self._told = False
        for name, embedding in self.embeddings().items():
            if embedding.penalises:
                with self._streams.of(name, "penalty"), embedding.named():
                    embedding.after_step(self.network)

    def on_train_epoch_end(self) -> None:
        """Move the multipliers."""
        for name, embedding in self.embeddings().items():
            if isinstance(embedding, AugmentedLagrangian):
                embedding.update()
                self.log(f"train/multiplier/{name}", embedding.multiplier.abs().max())

    def on_validation_epoch_start(self) -> None:
        """Measure rules that draw random numbers with the same ones each time."""
        self._streams.forget("measure")

    def on_test_epoch_start(self) -> None:
        """Measure rules that draw random numbers with the same ones each time."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Log what was measured."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Log what was measured."""
        self._report("test")

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The gradients; with their graph, where the optimiser differentiates them again."""
        if any(getattr(one, "needs_graph", False) for one in self._own_optimizers()):
            # of the parameters alone: points of rules would keep their gradient, and it them, for good
            kwargs |= {"create_graph": True, "inputs": [p for p in self.parameters() if p.requires_grad]}
        super().backward(loss, *args, **kwargs)

    def configure_optimizers(self) -> Any:
        """The optimiser given, or Adam; one that asks for squares is told which they are."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        if self.optimizer is None:
            return torch.optim.Adam(parameters, lr=self.learning_rate)
        optimizer = self.optimizer(parameters)
        if isinstance(optimizer, AsksSquares):
            optimizer.bind_squares(self, lambda: self.squares(self._batch))
        return optimizer

    def _own_optimizers(self) -> list[torch.optim.Optimizer]:
        found = self.optimizers(use_pl_optimizer=False)
        return found if isinstance(found, list) else [found]

    # --- rules -------------------------------------------------------------------------------------------------

    def embeddings(self) -> dict[str, Embedding]:
        """The embeddings by name."""
        return {name: e for name, e in self.rules.items() if isinstance(e, Embedding)}

    def squares(self, batch: Any) -> list[Squares]:
        """The loss of a batch as sums of squares: those of the task and of the rules.

        Raises:
            UnsupportedError: a part of the loss that is none; says which.
        """
        self._rewind()
        penalising = [name for name, embedding in self.embeddings().items() if embedding.penalises]
        found = [self._task_squares(batch), *(self._rule_squares(name, batch, "penalty") for name in penalising)]
        weights = [1.0] * len(found) if self.balance is None else self.balance.weights.tolist()
        return [
            replace(one, weight=weight * one.weight)
            for weight, term in zip(weights, found, strict=True)
            for one in term
        ]

    def _task_squares(self, batch: Any) -> Sequence[Squares]:
        return self.task_squares(*self.unpack(batch))

    def _rule_squares(self, name: str, batch: Any, purpose: str) -> Sequence[Squares]:
        embedding, (x, _) = self.embeddings()[name], self.unpack(batch)
        with self._streams.of(name, purpose), embedding.named():
            found = embedding.squares(self.network, x)
        if found is None:
            raise UnsupportedError(
                f"rule `{name}` needs to be a sum of squares by rows for this optimiser or balance: `Soft` with "
                f"`squared`, of a rule that knows its rows; got {type(embedding).__name__} of "
                f"{type(embedding.rule).__name__}"
            )
        return [found]

    def _begin_step(self) -> None:
        """Let weights move once a step of the optimiser, however often it asks for the loss.

        The trainer's own count tells, as a user's hooks may hide ours; without a trainer, each call is a step.
        """
        if self._trainer is None:
            step = 0 if self._step is None else self._step + 1
        else:
            step = self.trainer.global_step
            if step == self._step:
                return
        self._step = step
        for embedding in self.embeddings().values():
            embedding.advance()
        if self.balance is not None:
            self.balance.advance(step)

    def _total(self, loss: Tensor, penalties: Mapping[str, Tensor], batch: Any) -> Tensor:
        """The sum of the terms, weighed where there is a balance."""
        if self.balance is None:
            return torch.stack([loss, *penalties.values()]).sum() if penalties else loss
        terms = {TASK: Term(loss, partial(self._task_squares, batch))}
        for name, penalty in penalties.items():
            terms[name] = Term(penalty, partial(self._rule_squares, name, batch, "balance"))
        with self._streams.of("", "balance"):
            weights = self.balance.weigh(terms, self)
        shown = {f"train/balance/{name}": weight for name, weight in weights.items()}
        self.log_dict(shown, on_step=False, on_epoch=True, batch_size=1)
        return torch.stack([weights[name] * term.loss for name, term in terms.items()]).sum()

    def watch(self, rules: Mapping[str, Rule]) -> None:
        """Measure further rules from now on, without imposing them.

        Args:
            rules: rules by the name under which they are logged.
        """
        for name, rule in rules.items():
            require_name(name)
            if name in self.rules:
                raise SpecificationError(f"a module needs distinct names of rules, got {name!r} twice")
            embedding = Monitor(rule)
            embedding.key = name
            with embedding.named():
                bind(rule, self.outputs, self.inputs)
            self.rules[name] = embedding
            self._meter(name)

    def _meter(self, name: str) -> None:
        """Give a rule its metrics, where single samples can be measured."""
        if not self.embeddings()[name].rule.sequential:
            self.meters.add(name)

    def decode(self, y: Tensor, x: Tensor) -> Tensor:
        """The answer given at inference: every Decode rule holds, jointly with the Hard ones (see `Decoding`)."""
        decided: Tensor = self.decoding(y, x)
        return decided

    def measure(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Violation of each sample by rule, `(batch,)` each."""
        return {name: violation for name, (violation, _) in self._assess(x, y).items()}

    def seed_rules(self, seed: int) -> None:
        """Set where the random numbers of rules begin.

        Rules may draw them (points at which a field is tested). Each rule has a stream of its own for its penalty and
        another for its measure, so that they shift neither batches nor dropout nor each other.
        """
        self._streams.restart(seed)

    def _rewind(self) -> None:
        """Go back to where the random numbers of penalties were as the step began."""
        if self._start is not None:
            self._streams.go_back("penalty", self._start)

    def _assess(self, x: Tensor, y: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Violation of each sample by rule, and what of it rounding alone can cause."""
        found = {}
        for name, embedding in self.embeddings().items():
            rule = embedding.rule
            if rule.sequential:
                continue
            with self._streams.of(name, "measure"), own_precision(y), embedding.named():
                observed = rule.observed(self.network, x, y).detach()
                context = rule.context_for(observed, x)
                violation = rule.constraint.violation(observed, context).detach()
                found[name] = (violation, rule.constraint.tolerance(observed, context).detach())
        return found

    def _evaluate(self, stage: str, batch: Any) -> None:
        x, target = self.unpack(batch)
        y = self(x)
        self.log(
            f"{stage}/loss", self.task_loss(y, target), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(x)
        )
        decided = self.decode(y, x)
        if len(self.metrics):
            self.metrics.update(self.answer(decided), target)
        for name, (violation, atol) in self._assess(x, decided).items():
            self.meters.update(name, violation, atol)

    def _report(self, stage: str) -> None:
        logged: dict[str, Tensor] = {}
        if len(self.metrics):
            logged |= {f"{stage}/{name}": value for name, value in self.metrics.compute().items()}
            self.metrics.reset()
        logged |= {f"{stage}/{key}": value for key, value in self.meters.flush().items()}
        # Metrics are already the same on every process.
        self.log_dict({key: value.float() for key, value in logged.items()}, rank_zero_only=False)
