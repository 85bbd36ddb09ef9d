"""What is offered about products."""

from entities import MERCHANDISING, product

from transformations import products
from transformations.stores.views import feature_view

product_demand = feature_view(products.product_demand, entity=product, owner=MERCHANDISING, tags={"domain": "products"})
