"""Who may do what on the bus: signed frames, and one server user per service."""
