"""One connection to one server: the handshake, the answers in order, reconnecting, the server's clock."""
