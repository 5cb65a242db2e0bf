"""Three real services over the bus: inventory, pricing and orders."""
