"""The model server by HTTP: the plain endpoints, the Open Inference Protocol, and what stands before both."""
