"""Which server holds what: one server, Sentinel or Cluster."""
