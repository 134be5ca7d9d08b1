"""Every public name shows how it is used."""

import inspect

import pytest

import constraints
import constraints.domains
import constraints.embeddings
import constraints.equations
import constraints.fields
import constraints.functional
import constraints.networks
import constraints.rules
import constraints.sampling
import constraints.sets
import constraints.tracking

MODULES = [
    constraints,
    constraints.equations,
    constraints.functional,
    constraints.fields,
    constraints.domains,
    constraints.sampling,
    constraints.networks,
    constraints.sets,
    constraints.rules,
    constraints.embeddings,
]


@pytest.mark.parametrize("module", [*MODULES, constraints.tracking], ids=lambda m: m.__name__)
def test_public_names_have_an_example(module):
    """But for errors, protocols and abstract classes, which stand in the examples of others."""
    named = [(name, getattr(module, name)) for name in module.__all__]
    missing = [
        name
        for name, thing in named
        if (inspect.isclass(thing) or inspect.isfunction(thing))
        and not (inspect.isclass(thing) and issubclass(thing, Exception))
        and not inspect.isabstract(thing)
        and not getattr(thing, "_is_protocol", False)
        and ">>>" not in (thing.__doc__ or "")
    ]
    assert not missing
