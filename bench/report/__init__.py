"""Makes figures readable: JSON, a table, SVG charts and a page."""
