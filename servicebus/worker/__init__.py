"""The worker process: it loads a service, serves it until SIGTERM, then drains."""
