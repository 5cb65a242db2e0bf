"""What connects servicebus to other tools: web frameworks, exporters of metrics, exporters of contracts.

Each part is optional: the rest of the package imports none of them.
"""
