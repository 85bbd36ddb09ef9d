"""Where feature repositories import `on_demand_view` from and applied views `evaluate_lists`, wherever those live."""

from transformations.stores.computed.evaluation import evaluate_lists
from transformations.stores.computed.on_demand import on_demand_view

__all__ = ["evaluate_lists", "on_demand_view"]
