"""Where feature repositories import `on_demand_view` from and applied views `evaluate_lists`, wherever those live."""

from transformations.stores.base.on_demand import evaluate_lists, on_demand_view

__all__ = ["evaluate_lists", "on_demand_view"]
