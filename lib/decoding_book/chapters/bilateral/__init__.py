"""Chapter 40: steps of both forelimbs from one motor cortex."""
