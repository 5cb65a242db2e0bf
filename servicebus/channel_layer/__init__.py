"""The Redis layer as a Django Channels backend: any thread, any number of event loops, one thread that does the I/O."""
