"""The recipe: everything that a run depends on, typed, from YAML.

A recipe names its dataset, protocol, clips, views, the chain of stages with each one's model,
teachers and loss, and the seed. An unknown key or a wrong value raises UsageError that names the
file, the key and the nearest right one.
"""

from pskd.recipe.parts import (
    ALONE,
    FORMAT,
    Budget,
    Choice,
    DistillOptions,
    FitOptions,
    Loss,
    Recipe,
    Schedule,
    Stage,
    Teacher,
    TestOptions,
    ViewOptions,
    Weight,
    weight_at,
)
from pskd.recipe.reading import load_recipe, parse_recipe, shipped

__all__ = [
    "ALONE",
    "FORMAT",
    "Budget",
    "Choice",
    "DistillOptions",
    "FitOptions",
    "Loss",
    "Recipe",
    "Schedule",
    "Stage",
    "Teacher",
    "TestOptions",
    "ViewOptions",
    "Weight",
    "load_recipe",
    "parse_recipe",
    "shipped",
    "weight_at",
]
