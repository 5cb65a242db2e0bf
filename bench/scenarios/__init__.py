"""One module per scenario: ``add_arguments``, ``run`` to a report, ``table`` and ``charts`` of that report."""
